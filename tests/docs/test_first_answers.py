"""docs/first-answers.md: four people's commands, run as they stand with a model that answers at once, and counted.

pytest -m slow tests/docs/test_first_answers.py -s          prints the seconds
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from listening import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-answers.md").read_text()
BLOCKS = re.findall(r"^```(bash|python) (\w+)\n(.*?)^```$", PAGE, re.M | re.S)
STORIES = {mark: (lang, code) for lang, mark, code in BLOCKS}
REPLIES = {
    "home": ["<think>\n\n</think>\n\nRayleigh scattering."],
    "python": ['<think>\n\n</think>\n\n{"name": "Ada", "age": 36}'],
    "tool": [
        '<tool_call>\n{"name": "calculator", "arguments": {"expression": "2340 * 0.175"}}\n</tool_call>',
        "<think>\n\n</think>\n\nIt is 409.5.",
    ],
    "server": ["<think>\n\n</think>\n\nHello, you."] * 3,
}


def steps(story: str) -> int:
    """What a person types: commands of the shell, or one program."""
    lang, code = STORIES[story]
    return 1 if lang == "python" else len([line for line in code.splitlines() if not line.startswith("#")])


def told(story: str, folder: Path) -> str:
    """All that the commands print."""
    lang, code = STORIES[story]
    (folder / "replies.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in REPLIES[story]))
    here, there = free_port(), free_port()
    code = code.replace("qwen3:0.6b", f"scripted:{folder}/replies.jsonl")
    code = code.replace("--root-path", f"--port {here} --root-path").replace("8080", str(there))
    for name, page in (("ponder.conf", "operate.md"), ("nginx.conf", "first-answers.md")):
        text = (ROOT / "docs" / page).read_text()
        found = re.search(rf"^```text\n# {name if page != 'operate.md' else 'nginx'}\n(.*?)^```$", text, re.M | re.S)
        (folder / name).write_text(found[1].replace("11435", str(here)).replace("8080", str(there)))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PONDER_HOME": str(folder / "home"), "NO_COLOR": "1"}
    argv = [sys.executable, "-c", code] if lang == "python" else ["bash", "-euo", "pipefail", "-c", code]
    output = folder / "output"
    with output.open("wb") as file, subprocess.Popen(
        argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
    ) as process:  # fmt: skip
        try:
            assert process.wait(200) == 0, output.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):  # the servers of the last story
                os.killpg(process.pid, signal.SIGTERM)
    return output.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "commands", "expected"),
    [
        ("home", 1, ["Rayleigh scattering."]),
        ("python", 1, ["Person(name='Ada', age=36)"]),
        ("tool", 1, ["← calculator", "It is 409.5."]),
        ("server", 9, ["Hello, you.", '"name":"anna"', '"requests":1']),
    ],
)
def test_a_story(story: str, commands: int, expected: list[str], tmp_path: Path) -> None:
    if story == "server" and not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    start = time.monotonic()
    shown = told(story, tmp_path)
    print(f"{story}: {steps(story)} commands, {time.monotonic() - start:.1f} s")
    assert steps(story) == commands and f"| {commands} |" in PAGE
    assert all(text in shown for text in expected), shown
    assert story != "server" or shown.count("Hello, you.") == 3, "each of the three is answered"
