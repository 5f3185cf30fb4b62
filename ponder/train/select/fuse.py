"""Both modes in one dialogue: answers with and without thoughts, and the flags that ask for the one or the other.

    [[stage]]
    name = "fused"
    kind = "fuse"
    thinking = ["thoughts"]         # stages with conversations
    plain = ["answers"]
    count = 2000

A dialogue has up to `turns` turns, each from one conversation of question and answer. The newest flag holds, in the
user's turns and in the system's; without any the model thinks. Where a turn's mode is not what holds, its question says
`/think` or `/no_think`; where it is, some say so all the same. Behind `/no_think` the empty block is the model's own.
Conversations of more than one question stay as they are.
"""

import random
from collections.abc import Sequence

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.train.select import conversations
from ponder.train.select.conversations import Conversation
from ponder.train.stage import Context, Stage


class Fuse(Stage, frozen=True, kw_only=True, tag="fuse"):
    thinking: tuple[str, ...]
    plain: tuple[str, ...]
    count: int
    """Dialogues."""
    turns: int = 3
    several: float = 0.3
    """Share of dialogues with more than one turn."""
    flagged: float = 0.3
    """Share of turns that say the mode that holds anyway."""
    system: float = 0.1
    """Share of dialogues that begin with a flag of the system's."""
    hard: float = 0.5
    """Of dialogues that are one answer without thoughts, those that say nothing: the template closes the block."""

    def __post_init__(self) -> None:
        if not self.thinking or not self.plain or min(self.count, self.turns) < 1:
            raise UserError(
                "fusion needs stages with thoughts, stages without, and one dialogue or more", param="count"
            )
        if not all(0 <= share <= 1 for share in (self.several, self.flagged, self.system, self.hard)):
            raise UserError("several, flagged, system and hard are shares: 0 to 1", param="flagged")

    def parents(self) -> dict[str, str]:
        return {name: name for name in (*self.thinking, *self.plain)}

    def run(self, ctx: Context) -> None:
        thinking, plain = (self._read(ctx, names) for names in (self.thinking, self.plain))
        self._check(thinking, plain)
        rng = random.Random(ctx.seed)
        made = [self.dialogue(rng, thinking, plain) for _ in range(self.count)]
        conversations.write(ctx.folder / conversations.CONVERSATIONS, made)
        turns = sum(sum(m.role == "assistant" for m in each.messages) for each in made)
        ctx.say(f"{self.name}: {len(made)} dialogues, {turns} answers, of {len(thinking)} thoughts and {len(plain)} "
                "answers without any")  # fmt: skip

    def dialogue(
        self, rng: random.Random, thinking: Sequence[Conversation], plain: Sequence[Conversation]
    ) -> Conversation:
        turns = rng.randint(2, self.turns) if self.turns > 1 and rng.random() < self.several else 1
        thinks, messages = True, list[Message]()
        if rng.random() < self.system:
            thinks = rng.random() < 0.5
            messages.append(Message.system("/think" if thinks else "/no_think"))
        for _ in range(turns):
            mode = rng.random() < 0.5
            one = rng.choice(thinking if mode else plain)
            if not single(one):
                if not messages:
                    return one
                continue
            question, answer = one.messages
            if not mode and turns == 1 and not messages and rng.random() < self.hard:
                return Conversation((question, Message.assistant(answer.text)))
            if mode != thinks or rng.random() < self.flagged:
                question = Message.user(f"{question.text} /{'think' if mode else 'no_think'}")
            thinks = mode
            messages += [question, Message.assistant(answer.text, reasoning=answer.reasoning if mode else "")]
        return Conversation(tuple(messages)) if len(messages) > 1 else one

    def _read(self, ctx: Context, names: Sequence[str]) -> list[Conversation]:
        return [c for name in names for c in conversations.read(ctx.parents[name] / conversations.CONVERSATIONS)]

    def _check(self, thinking: Sequence[Conversation], plain: Sequence[Conversation]) -> None:
        if not all(c.messages[-1].reasoning for c in thinking):
            raise UserError(f"stage {self.name}: an answer among {', '.join(self.thinking)} has no thoughts",
                            param="thinking")  # fmt: skip
        if any(m.reasoning for c in plain for m in c.messages):
            raise UserError(f"stage {self.name}: an answer among {', '.join(self.plain)} has thoughts", param="plain")


def single(conversation: Conversation) -> bool:
    """One question and its answer, no tools."""
    return [m.role for m in conversation.messages] == ["user", "assistant"] and not conversation.tools
