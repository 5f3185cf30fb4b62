"""A tokenizer of bytes, models for it, and a task of one digit: reinforcement learning in seconds."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from msgspec.structs import replace

from ponder.core.batch import Batch
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.core.sample import Problem, Sample
from ponder.core.token_model import TokenRequest
from ponder.model.config import ModelConfig
from ponder.model.formats.hf_save import save_hf
from ponder.model.model import Model
from ponder.model.torch.modules import Decoder
from ponder.tasks.base import Task
from ponder.text import tokenizer_files
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import ADDED, KEPT_IN_TEXT, Vocabulary, byte_symbols
from ponder.train.stage import MODEL
from ponder.train.step import StepSettings, Trainer
from ponder.train.weights import normalise
from tests.train.tiny import DENSE, MOE, model

_SYMBOLS = byte_symbols()
TOKENIZER = Tokenizer(
    Vocabulary(
        {symbol: n for n, symbol in enumerate(_SYMBOLS)},
        [],
        {name: len(_SYMBOLS) + n for n, name in enumerate(ADDED)},
        frozenset(ADDED) - KEPT_IN_TEXT,
        "<|im_end|>",
    )
)
THINKER = replace(DENSE, vocab_size=TOKENIZER.vocab_size, max_position_embeddings=512)
MIXTURE = replace(MOE, vocab_size=TOKENIZER.vocab_size, max_position_embeddings=512)
WHOLE = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=20, seed=3)


def request(text: str, *, thinking: bool = True, budget: int | None = None, n: int = 1, most: int = 20) -> TokenRequest:
    ids = render([Message.user(text)], TOKENIZER, enable_thinking=thinking).ids
    sampling = SamplingParams(**{**{f: getattr(WHOLE, f) for f in WHOLE.__struct_fields__}, "n": n, "max_tokens": most})
    return TokenRequest(
        prompt_ids=tuple(ids), sampling=sampling, thinking=Thinking(enabled=thinking, budget=budget, loop_guard=False)
    )


@dataclass(frozen=True)
class Digit(Task):
    """Any question is answered by `right`; an answer of another digit is read, and is wrong."""

    name: str = "digit"
    levels: int = 2
    symbols: tuple[str, ...] = ("0",)
    right: str = "7"

    def draw(self, rng: random.Random, level: int) -> str:
        return f"{level}{rng.randrange(1000):03d}"

    def question(self, id_: str) -> str:
        return f"{id_}?"

    def think(self, id_: str) -> str:
        return "hm"

    def solve(self, id_: str) -> str:
        return self.right

    def read(self, problem: Problem, text: str) -> str | None:
        return text if text in set("0123456789") else None

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return "0"

    def chance(self, level: int) -> float:
        return 0.1

    def size(self, level: int) -> str:
        return f"level {level}"


def tuned(
    folder: Path, *, digits: str = "0123456789", steps: int = 120, seed: int = 0, config: ModelConfig = THINKER
) -> Model:
    """A model that answers the digit task in both modes with any of these digits; kept in folder."""
    trained = Trainer(model(config, seed), StepSettings(spike=0), folder)
    rng = random.Random(seed)
    for _ in range(steps):
        trained.step(normalise([_example(rng, digits) for _ in range(16)], "token"), 0.01)
    save_hf(folder / MODEL, trained.decoder.checkpoint(), "f32")
    tokenizer_files.save(TOKENIZER, folder / MODEL)
    return trained.model


def _example(rng: random.Random, digits: str) -> Sample:
    thinking = rng.random() < 0.5
    question = Digit().question(Digit().draw(rng, rng.randrange(2)))
    prompt = render([Message.user(question)], TOKENIZER, enable_thinking=thinking).ids
    thought = "<think>\nhm\n</think>\n\n" if thinking else ""
    said = TOKENIZER.encode(f"{thought}{rng.choice(digits)}<|im_end|>", allow_control=True)
    return Sample.of([*prompt, *said], ce=[0.0] * len(prompt) + [1.0] * len(said))


def logprobs(decoder: Decoder, ids: list[int], last: int) -> torch.Tensor:
    """As the trainer computes those of the last ids."""
    with torch.no_grad():
        logp, _, _ = decoder(ids[:-1], Batch.packed([len(ids) - 1]), ids[1:])
    return logp[-last:]
