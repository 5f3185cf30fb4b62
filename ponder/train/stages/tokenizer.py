"""A tokenizer from the text of another stage, laid out as the released ones are.

Chats need more than the text holds: the names of the roles, and the sentence that hands over from cut thoughts to the
answer. Both are among what it is made from, often enough to become few ids.
"""

import json

from msgspec import field

from ponder.data.tokenizer import train_tokenizer
from ponder.engine.decoding.thinking_budget import SENTENCE
from ponder.tasks.table import tasks_named
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import TEXT, TOKENIZER, Context, Stage
from ponder.train.stages.text import check_tasks

OFTEN = 20  # one in so many texts is that of the chats


class MakeTokenizer(Stage, frozen=True, kw_only=True, tag="tokenizer"):
    from_: str = field(name="from")
    """A stage of kind text."""
    vocab_size: int
    """Ids in all, at most."""
    tasks: tuple[str, ...] = ()
    """Their symbols (letters, digits) become one id each, whatever the text says."""

    def __post_init__(self) -> None:
        if self.tasks:
            check_tasks(self.tasks, {})

    def parents(self) -> dict[str, str]:
        return {"from": self.from_}

    def run(self, ctx: Context) -> None:
        texts = [json.loads(line)["text"] for line in (ctx.parents["from"] / TEXT).open(encoding="utf-8")]
        tokenizer_files.save(trained(texts, self.vocab_size, self.tasks), ctx.folder / TOKENIZER)


class QwenTokenizer(Stage, frozen=True, kw_only=True, tag="qwen-tokenizer"):
    """The one of the released models."""

    def run(self, ctx: Context) -> None:
        tokenizer_files.save(Tokenizer.packaged(), ctx.folder / TOKENIZER)


def trained(texts: list[str], vocab_size: int, tasks: tuple[str, ...]) -> Tokenizer:
    chat = f"user\nassistant\nsystem\n\n{SENTENCE}\n /think /no_think\n"
    symbols = [s for task in tasks_named(tasks) for s in task.symbols]
    return train_tokenizer([*texts, *[chat] * (len(texts) // OFTEN + 1)], vocab_size, symbols=symbols)
