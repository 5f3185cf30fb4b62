"""Packages and data sets: fetched once, unpacked, never run, from a folder of wheels and a server."""

import http.server
import json
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.data.fetch import debian, pypi
from ponder.data.fetch.hub import data_set
from ponder.model.hub import huggingface

FILES = {"data/a.jsonl": b'{"text": "one"}\n', "data/b.jsonl": b'{"text": "two"}\n', "big.bin": b"0" * 100}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def wheel(folder: Path, *names: str) -> None:
    info = "ponder_text-1.0.dist-info"
    with zipfile.ZipFile(folder / "ponder_text-1.0-py3-none-any.whl", "w") as file:
        for name in names:
            file.writestr(name, "some text")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: ponder-text\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def test_a_python_package(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "ponder_text/data/a.txt")
    found = pypi.unpacked("ponder-text==1.0", tmp_path / "store")
    folder, version = found["ponder-text"]
    assert version == "1.0" and (folder / "ponder_text/data/a.txt").read_text() == "some text"
    assert not list(folder.glob("*.whl"))
    for path in wheels.iterdir():
        path.unlink()
    assert pypi.unpacked("ponder-text==1.0", tmp_path / "store") == found, "fetched once"


@pytest.mark.parametrize(
    "name", ["ponder-text", "--help==1", "ponder-text>=1.0", "https://example.com/a==1", "a==1 b==2"]
)
def test_what_names_no_python_package(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name==version"):
        pypi.unpacked(name, tmp_path)


def test_a_python_package_that_climbs_or_is_not_there(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no wheel of ponder-text==1\.0"):
        pypi.unpacked("ponder-text==1.0", tmp_path / "store")
    wheel(wheels, "../../../out.txt")
    with pytest.raises(UserError, match="climbs out"):
        pypi.unpacked("ponder-text==1.0", tmp_path / "store")
    assert not list(tmp_path.rglob("out.txt")) and not list((tmp_path / "store").iterdir())


def test_patterns_of_debian_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apt-cache").write_text('#!/bin/sh\n[ "$3" = text- ] && printf "text-b\\ntext-a\\ntext-a-extra\\n"')
    (tmp_path / "apt-cache").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert debian.named("text-*") == ["text-a", "text-a-extra", "text-b"]
    assert debian.named("text-?") == ["text-?"], "only stars are patterns"
    assert debian.named("other") == ["other"]
    with pytest.raises(UserError, match="no package like none-"):
        debian.named("none-*")


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_debian_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Several in one download, into a folder named relative to the one of now."""
    tools = tmp_path / "tools"
    tools.mkdir()
    script(tools, "apt-cache", 'for p in text-a text-b; do printf "Package: $p\\nVersion: 1:2\\n\\n"; done')
    script(
        tools, "apt-get", f'echo "$@" >> {tmp_path}/asked; shift 2; for p; do touch "${{p%%=*}}_1%3a2_all.deb"; done'
    )
    script(tools, "dpkg-deb", '[ -f "$2" ] && mkdir "$3/usr" && echo text > "$3/usr/a.txt"')
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.chdir(tmp_path)
    found = debian.unpacked(["text-a", "text-b"], Path("store"))
    assert {name: version for name, (_, version) in found.items()} == {"text-a": "1:2", "text-b": "1:2"}
    assert all((folder / "usr/a.txt").is_file() for folder, _ in found.values())
    assert debian.unpacked(["text-b"], Path("store")) == {"text-b": found["text-b"]}
    assert (tmp_path / "asked").read_text() == "download -qq text-a=1:2 text-b=1:2\n"
    assert len(list((tmp_path / "store").iterdir())) == 2
    with pytest.raises(UserError, match="apt knows no package text-c"):
        debian.unpacked(["text-c"], Path("store"))


class Hub(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path)
        type(self).asked.append(path)
        name = path.removeprefix("/datasets/owner/name/resolve/c0ffee/")
        if path == "/api/datasets/owner/name?blobs=true":
            siblings = [{"rfilename": n, "size": len(raw)} for n, raw in FILES.items()]
            raw = json.dumps(
                {"sha": "c0ffee", "siblings": [*siblings, {"rfilename": "../x.jsonl", "size": 1}]}
            ).encode()
        elif name in FILES:
            raw = FILES[name]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    kind = type("OneHub", (Hub,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield kind
        server.shutdown()


def test_a_data_set(hub: type[Hub], tmp_path: Path) -> None:
    found = data_set("owner/name", ("**/*.jsonl",), tmp_path, huggingface.data_set)
    folder, commit = found["owner/name"]
    assert commit == "c0ffee"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.jsonl")} == {"data/a.jsonl", "data/b.jsonl"}
    assert not list(tmp_path.rglob("x.jsonl"))
    asked = len(hub.asked)
    assert data_set("owner/name", ("**/*.jsonl",), tmp_path, huggingface.data_set) == found
    assert len(hub.asked) == asked, "fetched once"
    with pytest.raises(UserError, match="no such file; there are"):
        data_set("owner/name", ("*.parquet",), tmp_path, huggingface.data_set)
    with pytest.raises(UserError, match="did not give owner/other"):
        data_set("owner/other", ("*",), tmp_path, huggingface.data_set)


def test_no_hub_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        data_set("owner/name", ("*",), tmp_path, huggingface.data_set)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the Hugging Face hub did not give owner/name"):
        data_set("owner/name", ("*",), tmp_path, huggingface.data_set)
