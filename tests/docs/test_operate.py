"""What docs/operate.md hands to operators: the board and the alerts name metrics that are there, the unit is one."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from live import server
from prometheus_client.parser import text_string_to_metric_families

from ponder.engine.llm import LLM
from ponder.engine.remote.upstream import UpstreamStats
from ponder.server.config import ServerConfig
from ponder.server.runtime.metrics import _families

ROOT = Path(__file__).parents[2]
OPERATE = ROOT / "docs" / "operate"
PAGE = (ROOT / "docs" / "operate.md").read_text()
METRIC = re.compile(r"\bponder_\w+")


def block(name: str) -> str:
    """A fenced block of the page, by its first line."""
    return re.search(rf"^```text\n# [^\n]*{re.escape(name)}\n(.*?)^```$", PAGE, re.M | re.S)[1]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """/metrics of a server that an admin asks."""
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text(json.dumps("<think>\n\n</think>\n\nHello there, all of you.") + "\n")
    config = ServerConfig(api_keys=("user",), admin_keys=("chief",))
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    with server({"m": lambda: LLM(f"scripted:{script}")}, config) as base:
        asked = httpx.post(
            f"{base}/v1/chat/completions", json=chat, headers={"Authorization": "Bearer user"}, timeout=60
        )
        assert asked.status_code == 200
        return httpx.get(f"{base}/metrics", headers={"Authorization": "Bearer chief"}, timeout=60).text


@pytest.fixture(scope="module")
def shown(numbers: str) -> set[str]:
    """Every name in it, and in those of a server in front of others."""
    families = [*text_string_to_metric_families(numbers)]
    fields = dict.fromkeys(UpstreamStats.__struct_fields__, 0) | {"url": "u", "up": True}
    families += _families("ponder_upstream", [({"model": "m", "upstream": "u"}, UpstreamStats(**fields))])
    return {sample.name for family in families for sample in family.samples}


def test_the_board_asks_for_what_is_there(shown: set[str]) -> None:
    board = json.loads((OPERATE / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    assert len(asked) > 10 and all(METRIC.search(expression) for expression in asked)
    assert {name for expression in asked for name in METRIC.findall(expression)} <= shown
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in board["panels"]})


def test_the_alerts_ask_for_what_is_there(shown: set[str]) -> None:
    (group,) = yaml.safe_load((OPERATE / "alerts.yml").read_text())["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert len(rules) == len(group["rules"]) and all(rule["annotations"]["summary"] for rule in rules.values())
    assert {name for rule in rules.values() for name in METRIC.findall(rule["expr"])} <= shown


def test_the_page_asks_for_what_is_there(shown: set[str]) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "ponder_" in line]
    assert len(rows) >= 5 and {name for row in rows for name in METRIC.findall(row)} <= shown


def test_compose_is_yaml_and_asks_how_it_is() -> None:
    service = yaml.safe_load(block("compose.yaml"))["services"]["ponder"]
    assert "/health" in service["healthcheck"]["test"][-1] and service["restart"] == "on-failure"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: it comes with prometheus")
def test_promtool_has_nothing_to_say(numbers: str) -> None:
    subprocess.run(["promtool", "check", "rules", OPERATE / "alerts.yml"], check=True, timeout=60)
    done = subprocess.run(["promtool", "check", "metrics"], input=numbers, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_unit_is_one(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / "ponder.service"
    unit.write_text(block("ponder.service").replace("/opt/ponder/bin/ponder", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "ponder.service" not in done.stderr, done.stderr
