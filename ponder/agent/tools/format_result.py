"""How what a sandboxed call did is told: its text for the model, pictures and differences for people."""

import hashlib
from collections.abc import Sequence

from msgspec import structs

from ponder.agent.tools.tool import Image, Output
from ponder.sandbox.kernel import Picture
from ponder.sandbox.snapshot import Change

LISTED = 20  # changed files that are named in the text


def format_result(
    text: str, changes: Sequence[Change], *, pictures: Sequence[Picture] = (), notes: Sequence[str] = (), error: bool
) -> Output:
    """notes: sentences about the call itself, shown in brackets. The diffs are in `structured["changes"]`: the model
    has just written those lines and need not read them again."""
    lines = [text.rstrip("\n")] if text.strip() else []
    lines += [f"[{note}]" for note in notes]
    if pictures:
        lines.append(f"[{len(pictures)} image{'s' if len(pictures) > 1 else ''} shown to the user]")
    if changes:
        told = [f"{change.name} ({change.kind}{size(change)})" for change in changes[:LISTED]]
        more = [f"and {len(changes) - LISTED} more"] if len(changes) > LISTED else []
        lines.append(f"[files: {', '.join(told + more)}]")
    images = tuple(Image(p.media_type, p.data, name_of(p)) for p in pictures)
    return Output(
        "\n".join(lines) or "[no output]",
        images=images,
        files=tuple(change.name for change in changes if change.kind != "removed"),
        structured={"changes": [structs.asdict(change) for change in changes]},
        error=error,
    )


def name_of(picture: Picture) -> str:
    """The same for the same picture, so that keeping it twice keeps it once."""
    return f"{hashlib.sha256(picture.data).hexdigest()[:12]}.{picture.media_type.removeprefix('image/')}"


def size(change: Change) -> str:
    return "" if change.kind == "removed" else f", {change.size:,} bytes"
