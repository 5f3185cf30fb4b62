"""How far a run may go. Past a limit the model is told so and answers with what it has (AG-2)."""

from msgspec import Struct

from ponder.core.errors import UserError


class Limits(Struct, frozen=True, kw_only=True):
    """steps: turns of the model with tools; one more without them may follow for the answer. seconds: wall time until
    the answer must begin. thinking_tokens: of all steps together. call_seconds: of one call, where the tool names no
    time of its own. output_chars, outputs_chars: what the model reads of one call, of all calls; beyond that head and
    tail are kept. same_note, same_stop: after how many equal calls with equal results in a row the model is told, and
    made to answer (AG-1).
    """

    steps: int = 24
    seconds: float | None = None
    thinking_tokens: int | None = None
    call_seconds: float = 60.0
    output_chars: int = 16_000
    outputs_chars: int | None = None
    same_note: int = 3
    same_stop: int = 5

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} must be above 0, got {value}; leave it out for the default", param=name)


def cut(text: str, limit: int) -> str:
    """Head and tail of a text that is too long, and how much lies between. limit: characters that stay."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit:,} characters left out ...]\n{text[len(text) - tail :]}"
