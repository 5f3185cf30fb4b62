"""SEC-6: pulling and deleting models needs a key of its own where others reach the server."""

from functools import partial
from pathlib import Path

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

PUBLIC = ServerConfig(host="0.0.0.0", api_keys=("user",))
NAMED = ServerConfig(host="0.0.0.0", api_keys=("user",), admin_keys=("chief",))
OPEN = ServerConfig(host="0.0.0.0", open_access=True)
LOCAL, LOCAL_NAMED = ServerConfig(), ServerConfig(api_keys=("user",), admin_keys=("chief",))
LOCAL_KEYED, BEHIND_A_PROXY = ServerConfig(api_keys=("user",)), ServerConfig(hosts=("models.example",))


@pytest.mark.parametrize(
    ("config", "key", "may"),
    [
        (LOCAL, "", True), (PUBLIC, "user", False), (OPEN, "", False), (NAMED, "user", False), (NAMED, "chief", True),
        (LOCAL_NAMED, "user", False), (LOCAL_NAMED, "chief", True), (LOCAL_KEYED, "user", False),
        (BEHIND_A_PROXY, "", False),
    ],
)  # fmt: skip
def test_who_may_manage(config: ServerConfig, key: str, may: bool, tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text('"Hi."\n')
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with (
        server({"s": partial(LLM, f"scripted:{script}")}, config) as base,
        httpx.Client(base_url=base, headers=headers) as http,
    ):
        for method, path in (("DELETE", "/api/delete"), ("POST", "/api/pull")):
            reply = http.request(method, path, json={"model": ""})
            assert (reply.status_code == 403) is not may, reply.text
            assert may or "--admin-key-file" in reply.json()["error"]
        assert http.get("/v1/models").status_code == 200, "the rest is open to every key"
        if key == "chief":
            assert http.post("/api/generate", json={"model": "s", "prompt": "x", "stream": False}).status_code == 200
