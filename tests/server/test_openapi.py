"""Is /openapi.json true? It lists every route, every field in it is read, and a fuzzer finds no other reply."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from live import server
from starlette.routing import Route

from ponder.engine.llm import LLM
from ponder.server.app import build
from ponder.server.config import ServerConfig
from ponder.server.openapi import document
from ponder.server.operations import LLAMA_NAMES, OPERATIONS
from ponder.server.runtime.admission import Admission
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.service import Service

SLOW = partial(pytest.param, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
WITH_BODY = [o for o in OPERATIONS if o.body is not None]
CANDIDATES: list[Any] = [[[["x"]]], 1.5, {"x": [["y"]]}, "\x00?", True]
REFUSED = {"/api/copy", "/api/create", "/api/push", "/api/blobs/{digest}"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text('"<think>\\nHm.\\n</think>\\n\\nYes."\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PONDER_HOME", str(script.parent / "home"))  # what /api/delete may touch
        with server({"s": partial(LLM, f"scripted:{script}"), "t": partial(LLM, f"scripted:{script}")}) as url:
            yield url


def test_every_route_is_described(tmp_path: Path) -> None:
    """The page's own routes (/web) are no interface for programs; what is only refused is none either; nor are second
    names."""
    config = ServerConfig()
    app = build(Service(config, Pool({"s": lambda: LLM("s")}), Admission(config, 1)), tmp_path / "c.sqlite")
    routes = {(m.lower(), r.path.replace(":path", "")) for r in app.routes if isinstance(r, Route)
              for m in (r.methods or ()) if m != "HEAD"}  # fmt: skip
    left_out = {"/", "/openapi.json", *LLAMA_NAMES} | REFUSED
    own = {(m, p) for m, p in routes if not p.startswith("/web/") and p not in left_out}
    assert own == {(o.method, o.path) for o in OPERATIONS}
    assert {(m, LLAMA_NAMES[p]) for m, p in routes if p in LLAMA_NAMES} == {
        (o.method, o.path) for o in OPERATIONS if o.path in LLAMA_NAMES.values()
    }, "by the same methods"
    app.state.conversations.close()


def impossible(type_: Any) -> Any:
    for value in CANDIDATES:
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError:
            return value
    raise AssertionError(f"everything fits {type_}")


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda o: o.path)
def test_every_field_is_read_by_the_handler(base: str, operation: Any) -> None:
    described = httpx.get(base + "/openapi.json").json()["components"]["schemas"]
    name = operation.body.__name__
    schema = next(s for n, s in described.items() if n.split(".")[-1] == name or n.endswith(f"_{name}") or n == name)
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(operation.body)}
    assert set(fields) <= {p for s in described.values() for p in s.get("properties", {})} and schema["properties"]
    for field, type_ in fields.items():
        body: dict[str, Any] = {"model": "s", "messages": [], "prompt": "hi", "input": "hi", "tokens": []}
        body |= {"query": "hi", "documents": ["hi"]}
        body = {k: v for k, v in body.items() if k in fields} | {field: impossible(type_)}
        reply = httpx.request(operation.method.upper(), base + operation.path, json=body)
        assert reply.status_code == 400, (operation.path, field, reply.text)
        assert field in reply.text.replace("options.", ""), (operation.path, field, reply.text)


def test_the_models_are_named() -> None:
    body = document(["a", "b"])["components"]["schemas"]["ResponsesBody"]
    assert body["properties"]["model"]["anyOf"][0]["enum"] == ["", "default", "a", "b"]
    assert document(["a"], keys=True)["security"] == [{"key": []}]


@pytest.mark.parametrize(("phases", "count"), [("fuzzing", 3), SLOW("coverage,fuzzing", 150)])
def test_schemathesis_finds_nothing(base: str, phases: str, count: int, tmp_path: Path) -> None:
    """/api/pull is left out: a name that happens to be a repository would be downloaded."""
    config = tmp_path / "schemathesis.toml"
    config.write_text('[checks.positive_data_acceptance]\nexpected-statuses = ["2xx", "400", "404", "409"]\n')
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", base + "/openapi.json",
        "--max-examples", str(count), "--exclude-path", "/api/pull", "--seed", "1", "--phases",
        phases, "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert httpx.get(base + "/health").json()["in_flight"] == 0
