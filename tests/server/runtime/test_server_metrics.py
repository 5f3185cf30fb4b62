"""/metrics, as Prometheus' own parser reads it."""

from pathlib import Path

import httpx
from live import saying, server
from prometheus_client.parser import text_string_to_metric_families

from ponder.engine.remote.upstream import UpstreamStats
from ponder.engine.scheduling.stats import Stats
from ponder.server.config import ServerConfig
from ponder.server.runtime.metrics import _families


def test_numbers_have_words_and_requests_are_timed(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
    with server(saying(tmp_path, {'s"\\': "<think>\n\n</think>\n\nHello there, all of you."})) as base:
        for _ in range(3):
            assert httpx.post(f"{base}/v1/chat/completions", json=chat, timeout=60).status_code == 200
        found = {f.name: f for f in text_string_to_metric_families(httpx.get(f"{base}/metrics", timeout=60).text)}
    assert all(family.documentation for family in found.values())
    finished = found["ponder_engine_finished"].samples[0]
    assert (finished.labels, finished.value) == ({"model": 's"\\'}, 3)
    for name in ("queue_seconds", "first_token_seconds", "between_tokens_seconds", "seconds", "completion_tokens"):
        counts = [s.value for s in found[f"ponder_request_{name}"].samples if s.name.endswith("_count")]
        assert counts == [3], name
    buckets = [s for s in found["ponder_request_seconds"].samples if s.name.endswith("_bucket")]
    assert [s.value for s in buckets] == sorted(s.value for s in buckets) and buckets[-1].labels["le"] == "+Inf"


def test_names_of_keys_are_for_an_admin(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    config = ServerConfig(api_keys=("key-of-anna", "key-of-ben"), admin_keys=("key-of-the-chief",))
    with server(saying(tmp_path, {"m": "<think>\n\n</think>\n\nHello there."}), config) as base:

        def counts(key: str) -> list[tuple[dict[str, str], float]]:
            text = httpx.get(f"{base}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=60).text
            families = {f.name: f for f in text_string_to_metric_families(text)}
            found = families["ponder_request_first_token_seconds"].samples
            buckets = [s for s in found if s.labels.get("le") == "+Inf"]
            return [({k: v for k, v in s.labels.items() if k != "le"}, s.value) for s in buckets]

        for name in ("anna", "anna", "ben"):
            headers = {"Authorization": f"Bearer key-of-{name}"}
            reply = httpx.post(f"{base}/v1/chat/completions", json=chat, headers=headers, timeout=60)
            assert reply.status_code == 200
        assert counts("key-of-anna") == [({"model": "m"}, 3)]
        by_key = counts("key-of-the-chief")
    assert [value for _, value in by_key] == [2, 1] and len({labels["key"] for labels, _ in by_key}) == 2


def test_every_number_of_every_engine_is_described() -> None:
    zero = dict.fromkeys(Stats.__struct_fields__, 0)
    engine = list(_families("ponder_engine", [({"model": "m"}, Stats(**zero))]))
    assert len(engine) == len(zero)
    numbers = dict.fromkeys(UpstreamStats.__struct_fields__, 0) | {"url": "u", "up": True}
    upstream = list(_families("ponder_upstream", [({"model": "m", "url": "u"}, UpstreamStats(**numbers))]))
    assert len(upstream) == len(numbers) - 1
    assert all(metric.documentation.endswith(".") for metric in (*engine, *upstream))
