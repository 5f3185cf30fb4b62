"""`ponder run` as scripts and pipes see it: what goes to stdout, what to stderr, exit codes, flags that hold."""

import json
import os
import pty
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

THINKER = "<think>\nLet me see.\n</think>\n\nFour 🤖."


def test_the_answer_alone_is_on_stdout(ponder, script) -> None:
    done = ponder("run", script(THINKER), "2 + 2?")
    assert (done.returncode, done.stdout) == (0, "Four 🤖.\n")
    assert done.stderr == "Let me see.\n\n"
    assert ponder("run", script(THINKER), "--hide-thinking", "2 + 2?").stderr == ""


def test_no_colours_in_a_pipe(ponder, script) -> None:
    done = ponder("run", script(THINKER), "q", "--verbose")
    assert "\x1b" not in done.stdout + done.stderr
    assert "generated 1" in done.stderr and "tokens/s" in done.stderr and "temperature 0.6" in done.stderr


def echo_prompt(ponder, script, *words: str, input: str | None = None) -> dict:
    """What the model was asked, seen through the token count: the scripted model cannot repeat its prompt."""
    done = ponder("run", script("ok"), "--no-think", "--json", *words, input=input)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def prompt_tokens(text: str) -> int:
    from ponder.core.message import Message
    from ponder.text.chat.render import render
    from ponder.text.tokenizer.tokenizer import Tokenizer

    return len(render([Message.user(text)], Tokenizer.packaged(), enable_thinking=False).ids)


@pytest.mark.parametrize(
    ("words", "piped", "prompt"),
    [
        (["one two three"], None, "one two three"),
        (["one", "two", "three"], None, "one two three"),
        ([], "from a pipe, with a newline\n", "from a pipe, with a newline"),
        (["Translate:"], "bonjour\nle monde\n", "Translate:\n\nbonjour\nle monde"),
        (["only words"], "", "only words"),
        (["only words"], "  \n", "only words"),
    ],
)
def test_where_the_prompt_comes_from(ponder, script, words: list[str], piped: str | None, prompt: str) -> None:
    assert echo_prompt(ponder, script, *words, input=piped)["usage"]["prompt_tokens"] == prompt_tokens(prompt)


def test_without_prompt_and_without_input_a_sample_question_is_asked(ponder, script) -> None:
    done = ponder("run", script("Sure."))
    assert (done.returncode, done.stdout) == (0, "Sure.\n")
    assert "palindrome" in done.stderr


def test_then_chat_ends_after_the_answer_without_a_terminal(ponder, script) -> None:
    done = ponder("run", script("Sure."), "--then-chat", "hello")
    assert (done.returncode, done.stdout) == (0, "Sure.\n")


def test_empty_input_is_an_error_not_a_sample(ponder, script) -> None:
    done = ponder("run", script("Sure."), input="")
    assert done.returncode == 2 and "empty" in done.stderr and not done.stdout


def test_input_that_is_no_text(ponder, script) -> None:
    done = ponder("run", script("Sure."), input=b"abc\xff")
    assert done.returncode == 2 and "UTF-8" in done.stderr and "byte 3" in done.stderr


@pytest.mark.parametrize("word", ["qwen3:0.7b", "./nowhere.gguf", "missing.gguf", "/no/such/folder"])
def test_a_word_meant_as_a_model_is_not_asked_about(ponder, word: str) -> None:
    done = ponder("run", word)
    assert done.returncode == 2 and word in done.stderr and "--model" in done.stderr
    if word == "qwen3:0.7b":
        assert "qwen3:0.6b" in done.stderr or "qwen3:1.7b" in done.stderr


def test_a_broken_script_names_file_and_line(ponder, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"tekst": "b"}\n')
    done = ponder("run", f"scripted:{tmp_path}/bad.jsonl", "q")
    assert done.returncode == 2 and "line 2" in done.stderr


def test_json_has_everything(ponder, script) -> None:
    done = ponder("run", script(THINKER), "--json", "--seed", "7", "--temperature", "0.9", "--budget", "50", "2+2?")
    result = json.loads(done.stdout)
    assert done.stderr == ""
    assert result["content"] == "Four 🤖." and result["reasoning"] == "Let me see."
    assert result["finish_reason"] == "stop" and result["usage"]["reasoning_tokens"] > 0
    held = result["effective"]
    assert (held["seed"], held["temperature"], held["budget"], held["thinking"]) == (7, 0.9, 50, True)
    assert held["top_p"] == 0.95 and held["thinking_source"] == "default"


def test_budget_hands_over(ponder, script) -> None:
    endless = {"text": "<think>\nhm hm ", "eos": False, "answer": "Four."}
    done = ponder("run", script(endless), "--json", "--budget", "5", "2+2?")
    result = json.loads(done.stdout)
    assert (result["content"], result["handover"]) == ("Four.", "budget")
    usage = result["usage"]
    assert usage["reasoning_tokens"] == 5 + usage["handover_tokens"] - 2  # `</think>` and the newlines end the block


def test_no_think_system_stop_and_max_tokens(ponder, script) -> None:
    model = script("one two three four five")
    assert ponder("run", model, "--no-think", "--stop", " three", "q").stdout == "one two\n"
    assert ponder("run", model, "--no-think", "--max-tokens", "2", "q").stdout == "one two\n"
    plain = json.loads(ponder("run", model, "--no-think", "--json", "q").stdout)
    talked = json.loads(ponder("run", model, "--no-think", "--json", "--system", "Be brief.", "q").stdout)
    assert talked["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]


def test_schema_choice_and_regex_bind_the_answer(ponder, script, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    model = script('<think>\nAda is 36\n</think>\n\n{"age": 36}')
    for given in ("schema.json", json.dumps(schema)):
        assert ponder("run", model, "--json-schema", given, "q").stdout == '{"age": 36}\n'
    assert (
        ponder("run", script("<think>\nx\n</think>\n\nno"), "--choice", "yes", "--choice", "no", "q").stdout == "no\n"
    )
    assert ponder("run", script("<think>\nx\n</think>\n\n42"), "--regex", "[0-9]+", "q").stdout == "42\n"
    for bad in ("missing.json", "{not json"):
        done = ponder("run", model, "--json-schema", bad, "q")
        assert done.returncode == 2 and "--json-schema" in done.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [(["--temperature", "-1"], "temperature"), (["--budget", "-2"], "budget"), (["--top-p", "1.5"], "top_p")],
)
def test_values_out_of_range_are_refused_by_name(ponder, script, flags: list[str], named: str) -> None:
    done = ponder("run", script("x"), *flags, "q")
    assert done.returncode == 2 and named in done.stderr and not done.stdout


def test_think_is_refused_by_a_model_that_cannot(ponder, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"model": {"capability": "instruct"}}\n{"text": "x"}\n')
    done = ponder("run", "scripted:s.jsonl", "--think", "q")
    assert done.returncode == 2 and "without thinking" in done.stderr


def test_no_answer_is_exit_code_one(ponder, script) -> None:
    done = ponder("run", script({"text": "<think>\nhm ", "eos": False}), "--max-tokens", "3", "q")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no answer" in done.stderr and "limit" in done.stderr


def test_endless_repetition_is_stopped_and_said(ponder, script) -> None:
    done = ponder("run", script({"text": "word ", "eos": False}), "--no-think", "q")
    assert done.returncode == 0 and len(done.stdout) < 2000 and "repeated itself" in done.stderr


def test_a_long_prompt_is_refused_not_cut(ponder, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"model": {"context": 64}}\n{"text": "x"}\n')
    done = ponder("run", "scripted:s.jsonl", "word " * 100)
    assert done.returncode == 2 and "context limit" in done.stderr


def slow(script) -> str:
    return script({"text": " ".join(map(str, range(1000))), "delay_ms": 20})


def test_ctrl_c_half_way(command, env, script, tmp_path: Path) -> None:
    """Exit code 130, the beginning of the answer is there, no traceback, no process or file is left."""
    with subprocess.Popen(
        [*command, "run", slow(script), "--no-think", "q"], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout.read(6) == b"0 1 2 "
        before = sorted(tmp_path.rglob("*"))
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert b"Traceback" not in process.stderr.read()
        assert sorted(tmp_path.rglob("*")) == before
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


@pytest.mark.flaky(reruns=2)  # judges time
def test_the_answer_streams(command, env, script, tmp_path: Path) -> None:
    start = time.monotonic()
    with subprocess.Popen(
        [*command, "run", slow(script), "--no-think", "--max-tokens", "100", "q"], env=env, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.read(5)
        first = time.monotonic() - start
        process.stdout.read()
        assert time.monotonic() - start > first + 1.0


def test_a_reader_that_leaves(command, env, script, tmp_path: Path) -> None:
    line = f"{shlex.join(command)} run {slow(script)} --no-think q < /dev/null | head -c 4; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0 1 141\n", "")


def test_a_full_disk_is_one_line(command, env, script, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "run", script("x"), "--no-think", "q"], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
        )  # fmt: skip
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", "2>&-", ">&-"])
def test_closed_streams(command, env, script, tmp_path: Path, closed: str) -> None:
    line = f"{shlex.join([*command, 'run', script(THINKER), 'q'])} < /dev/null {closed}"
    done = subprocess.run(["bash", "-c", line], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout == ("" if closed == ">&-" else "Four 🤖.\n")


def test_an_old_locale(command, env, script, tmp_path: Path) -> None:
    done = subprocess.run(
        [*command, "run", script(THINKER), "q"], env={**env, "PYTHONIOENCODING": "latin-1"}, cwd=tmp_path,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"Four \\U0001f916.\n")


def test_in_a_terminal_thoughts_are_dim_and_controls_harmless(command, env, script, tmp_path: Path) -> None:
    model = script("<think>\nhm\x1b[31m\n</think>\n\nred \x1b[31m \x9b text\a")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "run", model, "q"], env={**env, "TERM": "xterm"}, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait(10) == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "\x1b[2mhm␛[31m\n\x1b[0m\nred ␛[31m � text␇\n" in text
    assert "\x9b" not in text and "\a" not in text


def test_files_stand_before_the_prompt(ponder, script, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha\n")
    (tmp_path / "b.html").write_text("<p>beta</p>")
    files = ("-f", str(tmp_path / "a.txt"), "--file", str(tmp_path / "b.html"))
    asked = echo_prompt(ponder, script, *files, "What differs?")["usage"]["prompt_tokens"]
    assert asked == prompt_tokens("[a.txt]\nalpha\n\n[b.html]\nbeta\n\nWhat differs?")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    done = ponder("run", script("ok"), "-f", str(tmp_path / "c.png"), "What is it?")
    assert done.returncode == 2 and "is a picture" in done.stderr
    assert ponder("run", script("ok"), "-f", str(tmp_path / "none.txt"), "q").returncode == 2
