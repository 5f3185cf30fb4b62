"""The official MCP conformance suite against both sides of Ponder: `make test-mcp`, or

    python tests/agent/mcp_conformance/run.py [SCENARIO...]

The client is `client.py` (McpServers), the server `server.py` (`ponder mcp` and the content that the suite asks for).
The table goes to stdout. Ends with 1 if a scenario fails that is not in DISAGREE, or one that is in it passes.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import node_setup

HERE = Path(__file__).parent
PORT = 18779
# Scenarios that ask for what the SDK refuses on purpose, and why.
DISAGREE = {
    "auth/2025-03-26-oauth-metadata-backcompat": "the metadata names another issuer than was asked for. RFC 8414 "
    "(section 3.3) forbids using such metadata, and the SDK obeys",
}


def suite(*args: str) -> str:
    done = subprocess.run(
        [str(node_setup.NODE), str(node_setup.SUITE), *args], capture_output=True, text=True, cwd=HERE, timeout=120
    )
    return done.stdout + done.stderr


def scenarios() -> tuple[list[str], list[str]]:
    """Those for servers, those for clients."""
    server, client = suite("list").split("Client scenarios")
    return (re.findall(r"^  - (\S+)", server, re.M), re.findall(r"^  - (\S+)", client, re.M))


def checks(output: str) -> tuple[int, int, int]:
    """Passed, failed, warnings."""
    found = re.search(r"Passed: (\d+)/\d+, (\d+) failed, (\d+) warnings", output)
    if found is None:
        return 0, 1, 0
    passed, failed, warnings = map(int, found.groups())
    return passed, max(failed, int("OVERALL: FAILED" in output)), warnings


def run(side: str, name: str) -> tuple[int, int, int]:
    if side == "client":
        command = f"{sys.executable} {HERE / 'client.py'}"
        output = suite("client", "--command", command, "--scenario", name)
    else:
        output = suite("server", "--url", f"http://127.0.0.1:{PORT}/mcp", "--scenario", name)
    counted = checks(output)
    if counted[1] and name not in DISAGREE:
        print(output, file=sys.stderr)
    return counted


def serve(folder: str) -> subprocess.Popen[bytes]:
    replies = Path(folder) / "replies.jsonl"
    replies.write_text(json.dumps({"text": "<think>\nEasy.\n</think>\n\nFour."}))
    command = [sys.executable, "-W", "ignore", str(HERE / "server.py"), f"scripted:{replies}", str(PORT)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=1)
        except urllib.error.HTTPError:  # it answers
            return process
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)


def main(wanted: list[str]) -> int:
    node_setup.main()
    server, client = scenarios()
    bad = 0
    print("| side | scenario | checks passed | failed | warnings |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        process = serve(folder)
        try:
            for side, names in (("client", client), ("server", server)):
                for name in names:
                    if wanted and name not in wanted:
                        continue
                    passed, failed, warnings = run(side, name)
                    bad += (failed > 0) != (name in DISAGREE)
                    print(f"| {side} | {name} | {passed} | {failed} | {warnings} |", flush=True)
        finally:
            process.kill()
            process.wait()
    for name, reason in DISAGREE.items():
        print(f"\n{name}: {reason}.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
