"""The kinds of stages by name."""

from ponder.train.stage import Stage
from ponder.train.stages.evaluate import Evaluate
from ponder.train.stages.export import Export
from ponder.train.stages.pretrain import Pretrain
from ponder.train.stages.sft import Tune
from ponder.train.stages.text import WriteText
from ponder.train.stages.tokenizer import MakeTokenizer

STAGES: dict[str, type[Stage]] = {
    "text": WriteText,
    "tokenizer": MakeTokenizer,
    "pretrain": Pretrain,
    "sft": Tune,
    "eval": Evaluate,
    "export": Export,
}
