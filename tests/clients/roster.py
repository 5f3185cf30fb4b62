"""The clients: how each is installed and started, and what it cannot say or does not show.

`openai`, `ollama` and `anthropic` are in the tests' own environment. The others get one of their own below
runs/clients (setup.py, `make test-clients`).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cases import CASES, Case
from dialects import LACKS

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).parent / "drivers"
ENVIRONMENTS = ROOT / "runs" / "clients"


class Client(NamedTuple):
    """packages: of PyPI, or of npm when node is True; none for those that are here anyway. lacks: fields of `ask` that
    it cannot send. hidden: parts of a reply that it does not show. refuses: cases that it stops itself."""

    name: str
    dialect: str
    driver: str
    packages: tuple[str, ...] = ()
    node: bool = False
    lacks: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    refuses: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def ready(self) -> bool:
        """Installed completely, with these packages."""
        marker = self.home / "installed"
        return not self.packages or (marker.is_file() and marker.read_text().split("\n") == list(self.packages))


CLIENTS = {c.name: c for c in (
    Client("openai", "openai", "openai_py.py"),
    Client("anthropic", "anthropic", "anthropic_py.py", hidden=frozenset({"usage.reasoning"})),
    Client("ollama", "ollama", "ollama_py.py",
           hidden=frozenset({"usage.reasoning", "usage.cached", "effective", "warnings"})),
    Client("openai-js", "openai", "openai_js.mjs", ("openai@6.49.0",), node=True),
    Client("litellm", "openai", "litellm_py.py", ("litellm==1.106.2", "mcp"), refuses=("too many stops",)),
    Client("langchain", "openai", "langchain_py.py", ("langchain-openai==1.7.3",),
           hidden=frozenset({"reasoning", "effective", "warnings", "texts"}), lacks=frozenset({"n"}),
           refuses=("arguments that are no JSON", "a schema and a tool")),
    Client("qwen-agent", "openai", "qwen_agent_py.py",
           ("qwen-agent==0.0.34", "mcp<2", "numpy", "soundfile", "tqdm", "python-dateutil"),
           hidden=frozenset({"effective", "warnings", "texts", "finish", "usage", "tokens", "alternatives"}),
           lacks=frozenset({"n"}),
           refuses=("a list of parts", "developer", "arguments as an object", "a tool without a name",
                    "a broken call is text", "a schema and a tool", "a strict tool",
                    "a strict tool that cannot be kept", "a call that ends the thoughts")),
)}  # fmt: skip


# Whole programs, of which sessions are run (test_coding_agents.py)
AGENTS = {c.name: c for c in (
    Client("codex", "openai", "", ("@openai/codex@0.171.0",), node=True),
    Client("claude-code", "anthropic", "", ("@anthropic-ai/claude-code@2.1.197",), node=True),
    Client("qwen-code", "openai", "", ("@qwen-code/qwen-code@0.24.4",), node=True),
    Client("opencode", "openai", "", ("opencode-ai@1.18.33",), node=True),
)}  # fmt: skip


def cases_of(client: Client) -> list[Case]:
    lacks = LACKS[client.dialect] | client.lacks
    return [
        c for c in CASES if client.dialect in c.dialects and not lacks & set(c.ask) and c.name not in client.refuses
    ]


class Remote:
    """A driver in a process of its own."""

    def __init__(self, client: Client, base: str) -> None:
        command = [str(client.home / "bin" / "python"), str(DRIVERS / client.driver), base]
        if client.node:
            command = ["node", str(DRIVERS / client.driver), base, str(client.home)]
        quiet = os.environ | {"PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet)

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"body": body, "stream": stream}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the driver died"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def driver(client: Client, base: str) -> Any:
    if client.packages:
        return Remote(client, base)
    sys.path.insert(0, str(DRIVERS))
    return __import__(client.driver.removesuffix(".py")).Driver(base)
