"""`ponder list`: the models that are here, and the names that can be pulled, with sizes and speeds."""

import argparse
import json
from typing import TYPE_CHECKING

from ponder.cli.announce import shape_plan, speed, this_machine

if TYPE_CHECKING:
    from ponder.model.capacity import Machine

DESCRIPTION = "List the models that are here, and those that can be pulled."
NOTES = """\
--json prints one object: {"home", "downloaded": [{"name", "path", "bytes", "source"}], "names": [...], "shipped":
[{"name", "path", "bytes"}], "packed": [{"path", "bytes"}]}.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args: argparse.Namespace) -> int:
    from ponder.cli.terminal.progress import amount
    from ponder.model.hub.fetch import downloads, home
    from ponder.model.hub.registry import BUNDLES, RELEASED, RETRIEVAL
    from ponder.model.hub.shipped import SHIPPED, shipped
    from ponder.model.hub.store import size_of
    from ponder.model.weights.cache_list import cached_weights

    packed = cached_weights()
    models, names = downloads(), [*BUNDLES, *RELEASED, *RETRIEVAL]
    own = [(name, path, size_of(path)) for name in SHIPPED if (path := shipped(name)) is not None]
    if args.json:
        rows = [{"name": m.name, "path": str(m.path), "bytes": m.nbytes, "source": m.source} for m in models]
        print(json.dumps({"home": str(home()), "downloaded": rows, "names": names,
                          "shipped": [{"name": n, "path": str(p), "bytes": size} for n, p, size in own],
                          "packed": [{"path": str(p.path), "bytes": p.nbytes} for p in packed]}))  # fmt: skip
        return 0
    here = this_machine(quick=True)
    print(f"downloaded, in {home()}:")
    for m in models:
        print(f"  {m.name:24} {amount(m.nbytes):>8}  {pace(m.name, here):>14}  {m.source}".rstrip())
    if not models:
        print("  none yet")
    if own:
        print("comes with Ponder:")
    for name, _, size in own:
        print(f"  {name:24} {amount(size):>8}")
    if packed:
        print("weights converted for a faster start (ponder rm --packed deletes them):")
    for p in packed:
        print(f"  {amount(p.nbytes):>8}  {p.path}")
    print("can be pulled:")
    wide = max(map(len, names))
    for name in names:
        if name not in {m.name for m in models}:
            print(f"  {name:{wide}} {file_size(name):>8}  {pace(name, here):>14}".rstrip())
    if here is not None:
        print(f"tokens/s are at most, by the {amount(here.bandwidth)}/s of this memory; `ponder plan` tells more")
    print("also hf:owner/name and ms:owner/name, a folder, or a .gguf file; `ponder show NAME` tells more")
    return 0


def file_size(name: str) -> str:
    """Of its weights, by the shape; "" for one that is not known."""
    from ponder.cli.terminal.progress import amount
    from ponder.model.capacity import cpu_tensors, released

    shape = released(name)
    return "" if shape is None else amount(sum(each.nbytes for each in cpu_tensors(shape, "auto").values()))


def pace(name: str, here: "Machine | None") -> str:
    """How fast it can be here."""
    plan = None if here is None else shape_plan(name, here, "auto")
    if plan is None:
        return ""
    return f"{speed(plan)} tokens/s" if plan.fits else "does not fit"
