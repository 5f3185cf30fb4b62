"""What people get wrong: every mistake is told at once, by name, with what to do, and never becomes a default."""

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from ponder.cli.commands.run import split_words
from ponder.cli.documents import remark_on_files
from ponder.cli.main import main
from ponder.core.errors import UserError

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """say(words) -> (exit code, stderr), in a folder with s.jsonl, a script; MODEL stands for it."""
    (tmp_path / "s.jsonl").write_text('"<think>\\nHm.\\n</think>\\n\\nYes."\n')
    (tmp_path / "empty").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115

    def run(*words: str) -> tuple[int, str]:
        try:
            code = main(["scripted:s.jsonl" if w == "MODEL" else w for w in words])
        except SystemExit as e:  # argparse
            code = int(e.code or 0)
        shown = capsys.readouterr()
        assert not shown.out, "stdout is for answers"
        return code, shown.err

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run MODEL --threads 0 hi", "threads must be `int` >= 1, got 0"),
        ("run MODEL --max-context -3 hi", "max_context must be `int` >= 1, got -3"),
        ("run scripted:nowhere hi", "No such file or directory; after the colon comes a file"),
        ("agent MODEL --file nowhere hi", "there is no file or folder nowhere"),
        ("agent --replay nowhere", "nowhere does not exist"),
        ("run MODEL --budget much hi", "argument --budget: 'much' is no whole number"),
        ("run MODEL --temperature warm hi", "argument --temperature: 'warm' is no number"),
        ("restore nowhere.tar.gz", "there is no file nowhere.tar.gz"),
        ("serve MODEL --port 99999", "--port must be at most 65535"),
        ("serve MODEL --port -1", "--port must be at least 0"),
        ("serve MODEL --queue -1", "--queue must be at least 0"),
        ("serve MODEL --keep 0", "--keep must be at least 1"),
        ("serve MODEL --max-batch 0", "max_batch must be `int` >= 1"),
        ("serve MODEL --max-body 0", "--max-body must be at least 1"),
        ("serve MODEL --timeout 0", "--timeout must be a number of seconds above 0"),
        ("serve MODEL --watchdog nan", "--watchdog must be a number of seconds above 0"),
        ("serve MODEL --memory -2", "--memory must be a number of GB above 0"),
        ("serve MODEL --allow-origin localhost", "no origin such as http://localhost:3000"),
        ("serve MODEL --allow-origin http://a.b/", "without a path"),
        ("serve MODEL --allow-host a.b:80", "without http:// and port"),
        ("serve MODEL --api-key-file empty", "there is no key in it"),
        ("serve MODEL --host nowhere.invalid --no-auth", "cannot listen on nowhere.invalid"),
        ("serve MODEL --tool nope", "there is no tool 'nope'"),
        ("serve MODEL qwen3:99b", "Unknown model 'qwen3:99b'"),
        ("mcp qwen3:99b", "Unknown model 'qwen3:99b'"),
        ("mcp MODEL --port 8000", "--port needs --http"),
        ("mcp MODEL --no-auth", "--no-auth needs --http"),
        ("bench --random tiny --int4 --int8", "not allowed with argument --int4"),
        ("bench --random tiny --int4 --dtype int8", "--int4 and --dtype int8 contradict each other"),
    ],
)
def test_a_mistake_is_named(say: Say, words: str, said: str) -> None:
    code, err = say(*words.split())
    assert code in (1, 2) and said in err and "Traceback" not in err, err


def test_an_empty_key_or_prompt_is_no_key_and_no_prompt(say: Say) -> None:
    """`--api-key "$KEY"` with KEY unset let everybody in; `"$QUESTION"` unset asked a sample question."""
    code, err = say("serve", "MODEL", "--host", "0.0.0.0", "--api-key", "")
    assert code == 2 and "an API key is empty" in err
    for command in ("run", "agent"):
        code, err = say(command, "MODEL", "")
        assert code == 2 and "the PROMPT is empty" in err


def test_a_prompt_is_a_prompt_whatever_the_file_system_thinks_of_it(say: Say) -> None:
    """A word of more than 255 letters once ended in "File name too long", and ~nobody in a traceback."""
    for prompt in ("please repeat " * 60, "x/" * 3000, "~nobody asks", "a\nb" * 200):
        assert split_words(None, [prompt]) == (None, prompt)
    assert split_words(None, ["scripted:s.jsonl", "~nobody"]) == ("scripted:s.jsonl", "~nobody")


def test_a_misspelt_model_is_not_a_prompt() -> None:
    """It once was, and another model was downloaded to answer it."""
    for word, said in (("ponder-min", "Did you mean ponder-mini"), ("qwen3", "qwen3:"), ("qwen3-06b", "qwen3:0.6b")):
        with pytest.raises(UserError, match=f"Unknown model '{word}'.*{said}.*--model"):
            split_words(None, [word, "How", "many?"])
    with pytest.raises(UserError, match=r"Unknown model 'llama3.2'"):
        split_words(None, ["llama3.2", "Why is it so?"])
    for words in (["llama3.2", "was", "new"], ["Translate:", "good day"], ["self-made", "is what?"], ["covid-19"]):
        assert split_words(None, words) == (None, " ".join(words))


def test_a_file_where_a_prompt_is_meant_is_remarked_on(say: Say) -> None:
    """Its name goes to the model, not its text."""
    assert "run -f s.jsonl" in remark_on_files("s.jsonl summarise this")
    assert remark_on_files("summarise this") == remark_on_files("x" * 9999) == ""


def test_a_taken_port_is_told_before_a_model_is_loaded(say: Say) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, err = say("serve", "MODEL", "--port", str(taken.getsockname()[1]))
    assert code == 2 and err.startswith("ponder: cannot listen on 127.0.0.1") and "another --host or --port" in err


def test_a_home_that_cannot_be_used_is_named(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "empty"))
    for words in (("serve", "MODEL", "--port", "0"), ("agent", "MODEL", "hi")):
        code, err = say(*words)
        assert code == 1 and "PONDER_HOME names another folder" in err, err


def test_chats_that_cannot_be_read_are_named(say: Say, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "chat.sqlite").write_bytes(b"no database" * 100)
    code, err = say("serve", "MODEL", "--port", "0")
    assert code == 2 and "file is not a database" in err and "PONDER_HOME" in err


def test_a_download_is_not_begun_on_a_disk_that_is_too_small(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3_000_000))
    code, err = say("pull", "qwen2.5-coder:0.5b")
    assert code == 2 and "3 MB free" in err and "needs 670 MB" in err


def test_an_error_of_the_file_format_library_is_an_error_of_the_disk(tmp_path: Path) -> None:
    import numpy as np

    from ponder.model.formats.safetensors_file import StoredTensor, write_file

    with pytest.raises(OSError, match="No such file or directory"):
        write_file(tmp_path / "no" / "x.safetensors", {"a": StoredTensor("F32", np.zeros(3, np.float32))})


def test_flags_of_serve_reach_the_engine(say: Say) -> None:
    from ponder.cli import serve_backends
    from ponder.cli.main import build_parser

    _, parser = build_parser("serve")
    with contextlib.ExitStack() as stack:
        pool = serve_backends.pool(parser.parse_args(["scripted:s.jsonl", "--max-batch", "3"]), stack)
        llm = pool.find(None).llm
        assert llm is not None and llm.engine.scheduler.max_batch == 3  # type: ignore[union-attr]
        llm.close()


def test_port_0_is_a_free_port_and_the_address_that_is_told_answers(
    command: list[str], env: dict[str, str], script: Callable[..., str]
) -> None:
    server = subprocess.Popen([*command, "serve", script("Yes."), "--port", "0"], env=env, stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        url = server.stderr.readline().decode().split()[-1]
        port = int(url.removeprefix("http://127.0.0.1:"))
        assert port > 0
        for _ in range(100):
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(url + "/health", timeout=5) as reply:
                    assert reply.status == 200
                break
            time.sleep(0.1)
        else:
            raise AssertionError("nobody answers there")
    finally:
        server.kill()
        server.wait()
