"""The same steps inside datatrove's executors give what `ponder data` gives."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # datatrove is an extra that the other tests do not need
pytest.importorskip("datatrove")

from datatrove.executor import LocalPipelineExecutor  # noqa: E402
from datatrove.pipeline.base import PipelineStep  # noqa: E402
from datatrove.pipeline.readers import JsonlReader  # noqa: E402
from datatrove.pipeline.writers import JsonlWriter  # noqa: E402

from ponder.core.errors import UserError  # noqa: E402
from ponder.data.datatrove import Clean, Join  # noqa: E402
from ponder.data.recipe import read_recipe  # noqa: E402
from ponder.data.run import TEXT, make  # noqa: E402

RECIPE = """
[[source]]
name = "a"
files = ["a/*.jsonl"]
licence = "MIT"
"""
MENU = "Home, products, support, contact, about this site, sign in"


def sentence(n: int) -> str:
    words = [f"{chr(97 + (n * k) % 26)}{'aeiou'[(n + k) % 5]}{chr(97 + (n + 3 * k) % 26)}" for k in range(1, 40)]
    return " ".join(words).capitalize() + "."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    texts = [f"{MENU}\n{sentence(n)}\r\n{sentence(n + 100)}" for n in range(30)]
    texts += [texts[3].upper(), "short", f"{sentence(77)} write to jane@mail.ponder.dev {sentence(78)}"]
    for part in range(4):
        rows = [{"text": t, "id": f"{part}-{n}", "source": "a", "licence": "MIT"} for n, t in enumerate(texts[part::4])]
        (tmp_path / f"a/{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def texts_of(folder: Path) -> list[str]:
    found = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return sorted(row["text"] for row in found)


def local(steps: list[PipelineStep], tasks: int, log: Path) -> None:
    LocalPipelineExecutor(steps, tasks=tasks, workers=2 if tasks > 1 else 1, logging_dir=str(log)).run()


def on_ray(steps: list[PipelineStep], tasks: int, log: Path) -> None:
    pytest.importorskip("ray")
    from datatrove.executor import RayPipelineExecutor

    RayPipelineExecutor(steps, tasks=tasks, workers=2, logging_dir=str(log), mem_per_cpu_gb=0.5).run()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("execute", [local, on_ray])
def test_an_executor_gives_what_a_run_gives(
    execute: Callable[[list[PipelineStep], int, Path], None], folder: Path
) -> None:
    recipe = read_recipe(folder / "recipe.toml")
    make(recipe, folder / "own", sample=None, workers=1, say=lambda said: None)
    first = [JsonlReader(str(folder / "a")), Clean(recipe.cleaning), writer(folder / "clean")]
    execute(first, 4, folder / "log1")
    execute([JsonlReader(str(folder / "clean")), Join(), writer(folder / "text")], 1, folder / "log2")
    own = [json.loads(line)["text"] for line in (folder / "own" / TEXT).read_text().splitlines()]
    assert texts_of(folder / "text") == sorted(own) and len(own) == 31
    assert sum(MENU in text for text in own) == 1 and any("<EMAIL>" in text for text in own)
    stats = json.loads((folder / "log1" / "stats.json").read_text())
    clean = next(step for step in stats if "clean" in step["name"])["stats"]
    told = {
        name: value if isinstance(value, int) else value["total"] for name, value in clean.items() if name != "time"
    }
    assert (told["total"], told["forwarded"], told["dropped"]) == (33, 32, 1)
    assert told["dropped_too_short"] == 1 and told["scrubbed_email"] == 1


def writer(folder: Path) -> JsonlWriter:
    return JsonlWriter(str(folder), "${rank}.jsonl", compression=None)


def test_join_is_one_task() -> None:
    with pytest.raises(UserError, match="tasks=1"):
        list(Join().run(iter(()), rank=0, world_size=2))
