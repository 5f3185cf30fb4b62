"""The kinds of stages by name."""

from ponder.train.base.evaluate import EvaluateBase
from ponder.train.base.join import Join
from ponder.train.base.library import UseLibrary
from ponder.train.base.shards import MakeShards
from ponder.train.preference.stage import Prefer
from ponder.train.select.fuse import Fuse
from ponder.train.select.played import Episodes
from ponder.train.select.traces import Traces
from ponder.train.stage import Stage
from ponder.train.stages.conversations import Conversations
from ponder.train.stages.data import UseData
from ponder.train.stages.distill import Distill
from ponder.train.stages.evaluate import Evaluate
from ponder.train.stages.export import Export
from ponder.train.stages.model import TakeModel
from ponder.train.stages.pretrain import Pretrain
from ponder.train.stages.rl import Rl
from ponder.train.stages.sft import Tune
from ponder.train.stages.text import WriteText
from ponder.train.stages.tokenizer import MakeTokenizer, QwenTokenizer

STAGES: dict[str, type[Stage]] = {
    "text": WriteText,
    "data": UseData,
    "library": UseLibrary,
    "join": Join,
    "tokenizer": MakeTokenizer,
    "qwen-tokenizer": QwenTokenizer,
    "shards": MakeShards,
    "model": TakeModel,
    "conversations": Conversations,
    "traces": Traces,
    "fuse": Fuse,
    "episodes": Episodes,
    "pretrain": Pretrain,
    "sft": Tune,
    "preference": Prefer,
    "rl": Rl,
    "distill": Distill,
    "eval": Evaluate,
    "eval-base": EvaluateBase,
    "export": Export,
}
