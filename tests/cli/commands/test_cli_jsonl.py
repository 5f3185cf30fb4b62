"""`ponder tokenize | render | parse` as a pipe sees them: order, flushing, garbage lines, a reader that leaves."""

import json
import shlex
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.cli.commands.jsonl import pump
from ponder.core.errors import UserError

HI = '{"text": "Hello"}\n'


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_tokenize_is_the_published_vector_and_back(ponder) -> None:
    text = "Give me a short introduction to large language model."
    ids = [35127, 752, 264, 2805, 16800, 311, 3460, 4128, 1614, 13]  # of the published tokenizer
    done = ponder("tokenize", input=json.dumps({"text": text}) + "\n" + json.dumps({"ids": ids}))
    assert done.returncode == 0 and not done.stderr
    assert rows(done.stdout) == [{"ids": ids, "tokens": rows(done.stdout)[0]["tokens"]}, {"text": text}]


def test_render_then_parse(ponder) -> None:
    messages = [{"role": "user", "content": "hi"}]
    done = ponder("render", input=json.dumps({"messages": messages, "enable_thinking": False}))
    (row,) = rows(done.stdout)
    assert row["ids"] == [151644, 872, 198, 6023, 151645, 198, 151644, 77091, 198, 151667, 271, 151668, 271]
    assert row["text"].endswith("<think>\n\n</think>\n\n")
    done = ponder("parse", input=json.dumps({"text": "<think>\nhm 🤔\n</think>\n\n你好<|im_end|>"}))
    (row,) = rows(done.stdout)
    assert (row["reasoning"], row["content"], row["tool_calls"]) == ("hm 🤔", "你好", [])


def test_bad_lines_are_named_and_the_others_still_work(ponder) -> None:
    bad = [b"x\n", b"\xff\n", b"[1]\n", b"null\n", b'{"tekst": 1}\n', b"[" * 100_000 + b"\n", b'{"text": 1e999}\n']
    bad += [b'{"ids": [%s]}\n' % (b"1" * 5000), b'\xff\xfe{\0"\0\n']
    done = ponder("tokenize", input=b"".join(line + HI.encode() for line in bad) + b"\n\n" + HI.encode())
    assert done.returncode == 1
    answers = rows(done.stdout)
    assert [a.get("line") for a in answers] == [n for k in range(len(bad)) for n in (2 * k + 1, None)] + [None]
    assert all(a["ids"] == [9707] for a in answers if "error" not in a)
    assert "UTF-8" in answers[2]["error"] and "tekst" in answers[8]["error"]


def test_a_lone_surrogate_comes_back_as_json() -> None:
    class Sink(list):
        write = list.append

        def flush(self) -> None: ...

    sink = Sink()
    assert pump([b'{"a": "\\ud800"}'], sink, lambda raw: raw) == 0
    assert json.loads(sink[0]) == {"a": "\ud800"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b'{"ok": 1}', b'{"ok": "\\u0000"}']))))
def test_every_line_gets_one_answer_in_order(lines: list[bytes]) -> None:
    sent = [line.replace(b"\n", b" ") + b"\n" for line in lines]
    answers: list[dict] = []

    class Sink:
        def write(self, data: bytes) -> None:
            answers.append(json.loads(data))

        def flush(self) -> None: ...

    def serve(raw: dict) -> dict:
        if raw.get("ok") != 1:
            raise UserError("no")
        return {"fine": True}

    code = pump(sent, Sink(), serve)
    real = [n for n, line in enumerate(sent, 1) if line.strip()]
    assert len(answers) == len(real) and code == any("error" in a for a in answers)
    assert all(a == {"fine": True} or a["line"] == n for a, n in zip(answers, real))


def test_a_line_is_answered_before_the_next_is_written(command: list[str], env: dict[str, str]) -> None:
    with subprocess.Popen([*command, "tokenize"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        for _ in range(3):
            process.stdin.write(HI.encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["ids"] == [9707]
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_reader_that_leaves_is_no_error_message(command: list[str], env: dict[str, str]) -> None:
    pipe = f"yes '{HI.strip()}' | head -n 20000 | {shlex.join(command)} tokenize | head -n 1; echo ${{PIPESTATUS[2]}}"
    done = subprocess.run(["bash", "-c", pipe], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1] == "141"
    assert done.stderr == ""


def test_tokenizer_path_that_is_none(ponder, tmp_path: Path) -> None:
    done = ponder("tokenize", "--tokenizer", str(tmp_path / "nowhere"), input=HI)
    assert done.returncode == 2 and "nowhere" in done.stderr and not done.stdout
