"""A model that is there already, to go on from: a folder, a GGUF file, or a name that `ponder list` knows.

    [[stage]]
    name = "base"
    kind = "model"
    model = "qwen3:0.6b"

It is copied into the run in the recipe's precision. Packed weights (int8, int4, GGUF's blocks) cannot move by a little
and are refused; `unpack = true` takes the numbers that they stand for, as coarse as they are. `thinking = true` gives a
Qwen2.5 model the tags of Qwen3: rows that it has no ids for begin as the mean of the tag's letters.
"""

import shutil
from dataclasses import replace

import numpy as np

from ponder.core.errors import UserError
from ponder.kernels.tensor import Floats, Tensor
from ponder.model.decoder import EMBED, HEAD
from ponder.model.formats.hf_save import save_hf
from ponder.model.hub.fetch import locate
from ponder.model.load import open_checkpoint, open_tokenizer
from ponder.model.weights.build import in_memory
from ponder.model.weights.checkpoint import Checkpoint, read
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import MODEL, PARTIAL, Context, Stage

_FLOATS = ("f32", "bf16")


class TakeModel(Stage, frozen=True, kw_only=True, tag="model"):
    model: str
    unpack: bool = False
    thinking: bool = False

    def run(self, ctx: Context) -> None:
        checkpoint, tokenizer = self.opened()
        partial = ctx.folder / (MODEL + PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        save_hf(partial, checkpoint, ctx.dtype)
        tokenizer_files.save(tokenizer, partial)
        shutil.rmtree(ctx.folder / MODEL, ignore_errors=True)
        partial.rename(ctx.folder / MODEL)
        ctx.say(f"{self.name}: {checkpoint.config.parameter_counts().total / 1e6:.4g}M parameters of {self.model}")

    def opened(self) -> tuple[Checkpoint, Tokenizer]:
        """Raises UserError for packed weights, unless they are to be unpacked."""
        path = locate(self.model).path
        checkpoint = open_checkpoint(path)
        tokenizer = open_tokenizer(checkpoint, path)
        packed = sorted({s.auto for s in checkpoint.tensors.values() if s.auto not in _FLOATS})
        if packed and not self.unpack:
            raise UserError(
                f"stage {self.name}: the weights of {self.model} are packed ({', '.join(packed)}), and nothing can be "
                "trained in them or merged into them: take the model in bf16, or unpack = true for the numbers that "
                "they stand for",
                param="model", code="packed",
            )  # fmt: skip
        return with_tags(checkpoint, tokenizer) if self.thinking else (checkpoint, tokenizer)


def with_tags(checkpoint: Checkpoint, old: Tokenizer) -> tuple[Checkpoint, Tokenizer]:
    """Both with the tags of thoughts and tool responses. Raises UserError for a vocabulary that is not Qwen2.5's."""
    if old.think is not None:
        return checkpoint, old
    new = Tokenizer.packaged("qwen3")
    rows = checkpoint.config.vocab_size
    same = new.vocabulary.ids == old.vocabulary.ids and old.control.items() <= new.control.items()
    if not same or new.vocab_size > rows:
        raise UserError(
            f"thinking needs the vocabulary of Qwen2.5, with rows for {new.vocab_size} ids; {checkpoint.origin} has "
            f"{rows}, or another one",
            param="thinking",
        )
    fresh = {id_: old.encode(name.strip("<>/|")) for name, id_ in new.control.items() if name not in old.control}
    tensors = dict(checkpoint.tensors)
    for name in (EMBED, HEAD):
        if name in tensors:
            table = read(tensors[name], "f32")
            assert not isinstance(table, Tensor), "f32 is an array"
            tensors[name] = in_memory(_begun(table, fresh))
    return replace(checkpoint, tensors=tensors, fits=False), new


def _begun(table: Floats, fresh: dict[int, list[int]]) -> Floats:
    """Rows of new ids begin as the mean of others; opening and closing tags differ by a hundredth of a row's length."""
    table = np.array(table)
    for id_, letters in fresh.items():
        noise = np.random.default_rng(id_).standard_normal(table.shape[1], np.float32)
        mean = table[letters].mean(0)
        table[id_] = mean + 0.01 * np.linalg.norm(mean) * noise / np.linalg.norm(noise)
    return table
