"""The real 0.5B model through the commands a user types. Slow: half a gigabyte is fetched once."""

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MODEL = "qwen2.5-coder:0.5b"


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """The user's own downloads."""
    return {**env, "PONDER_HOME": os.environ.get("PONDER_HOME", str(Path.home() / ".cache" / "ponder"))}


def test_pull_show_run_bench(ponder) -> None:
    done = ponder("pull", MODEL, timeout=1200)
    assert done.returncode == 0 and Path(done.stdout.strip()).is_file()
    assert MODEL in ponder("list").stdout.split("can be pulled")[0]
    done = ponder("run", MODEL, "--temperature", "0", "--max-tokens", "40", "What is 7 + 5?", timeout=300)
    assert done.returncode == 0 and "12" in done.stdout
    report = json.loads(ponder("bench", MODEL, "--rounds", "1", "--only", "decode1,perplexity,golden", "--json",
                               timeout=900).stdout)  # fmt: skip
    assert 1 < report["results"]["perplexity"]["perplexity"] < 60  # random weights have 150,000
    assert report["results"]["golden"]["right_of_3"] == 3


def test_the_shape_shown_before_the_download_is_the_true_one(ponder) -> None:
    from ponder.model.info import describe_released

    ponder("pull", MODEL, timeout=1200)
    shown, known = json.loads(ponder("show", MODEL, "--json").stdout), describe_released(MODEL)
    assert known is not None
    assert shown["parameters"]["total"] == known.parameters.total
    for key in ("capability", "template", "kv_bytes", "native_context", "max_context"):
        assert shown[key] == getattr(known, key), key
    auto, foreseen = shown["weight_bytes"].pop("auto"), known.weight_bytes.pop("auto")
    assert shown["weight_bytes"] == known.weight_bytes
    assert 0.9 < auto / foreseen <= 1, "only the file tells which of its matrices have fewer bits"


def test_json_schema(ponder) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
              "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
    done = ponder("run", MODEL, "--json-schema", json.dumps(schema), "--seed", "1", "Ada is 36 years old.", timeout=300)
    found = json.loads(done.stdout)
    assert found.keys() == {"name", "age"} and isinstance(found["age"], int)
