"""The chat, typed into a real terminal: keys, commands, multi-line input, stopping, saving, what is sent back."""

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Terminal

Chat = Callable[..., Terminal]
COUNT = " ".join(map(str, range(1000)))  # long, and nothing that a loop guard would stop
THINKER = "<think>\nLet me see.\n</think>\n\nFour."


@pytest.fixture
def opened() -> Iterator[list[Terminal]]:
    terminals: list[Terminal] = []
    yield terminals
    for terminal in terminals:
        terminal.child.close(force=True)


@pytest.fixture
def chat(command: list[str], env: dict[str, str], tmp_path: Path, opened: list[Terminal]) -> Chat:
    def start(*words: str, rows: int = 300, columns: int = 100) -> Terminal:
        terminal = Terminal([*command, "run", *words], env, str(tmp_path), rows=rows, columns=columns)
        opened.append(terminal)
        terminal.prompt()
        return terminal

    return start


@pytest.fixture
def shell(env: dict[str, str], tmp_path: Path, opened: list[Terminal]) -> Chat:
    def start(line: str) -> Terminal:
        opened.append(Terminal(["sh", "-c", line], env, str(tmp_path)))
        return opened[-1]

    return start


def saved(terminal: Terminal, folder: Path) -> list[dict]:
    terminal.say("/save saved.json")
    return json.loads((folder / "saved.json").read_text())


def test_a_conversation(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script(THINKER, "<think>\n\n</think>\n\n再见 👋"))
    first = t.say("2 + 2?")
    assert "Let me see." in first and "Four." in first and "Enter: answer now" in first
    assert "再见 👋" in t.say("¿Adiós? 你好")
    assert [(m["role"], m["content"], m.get("reasoning_content")) for m in saved(t, tmp_path)] == [
        ("user", "2 + 2?", None),
        ("assistant", "Four.", "Let me see."),
        ("user", "¿Adiós? 你好", None),
        ("assistant", "再见 👋", None),
    ]
    t.send("\x04")
    assert t.ends() == 0


def test_thoughts_are_not_sent_back(chat: Chat, script) -> None:
    """The second prompt is as long as one whose first answer had no thoughts."""
    counts = []
    for thoughts in ("", "a very long thought " * 30):
        t = chat(script(f"<think>\n{thoughts}\n</think>\n\nFour.", THINKER), "--verbose")
        t.say("one")
        counts.append(re.search(r"prompt (\d+) tokens", t.say("two"))[1])
    assert counts[0] == counts[1]


def test_commands_change_the_next_answer(chat: Chat, script) -> None:
    t = chat(script(THINKER), "--verbose", "--top-k", "7")
    assert "thinking off" in t.say("/no_think")
    assert "thinking off (request)" in t.say("q")
    t.say("/think")
    t.say("/budget 3")
    t.say("/set temperature 0.25")
    t.say("/system Be brief.")
    answer = t.say("q")
    assert "thinking on (request), budget 3, temperature 0.25, top_p 0.95, top_k 7" in answer
    assert "handed over: budget" in answer
    rows = {line.split()[0]: line for line in t.say("/show").splitlines() if line.strip()}
    assert "0.25" in rows["temperature"] and "/set" in rows["temperature"]
    assert "7" in rows["top_k"] and "flag" in rows["top_k"]
    assert "0.95" in rows["top_p"] and "default" in rows["top_p"]
    assert "3 tokens" in rows["budget"] and "/budget" in rows["budget"]
    assert "on" in rows["thinking"] and "/think" in rows["thinking"]
    t.say("/budget off")
    t.say("/set temperature default")
    assert "budget none, temperature 0.6" in t.say("q")


def test_wrong_commands_are_explained_and_change_nothing(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script("Four."))
    assert "Did you mean /retry?" in t.say("/retyr")
    assert "temperature" in t.say("/set temperture 1")
    assert "between" in t.say("/set temperature -1")
    assert "number" in t.say("/set seed abc")
    assert "/budget N" in t.say("/budget -5")
    assert "nothing" in t.say("/retry")
    assert "cannot read" in t.say("/load nowhere.json")
    assert "cannot save" in t.say("/save no/such/folder.json")
    (tmp_path / "bad.json").write_text('{"a": 1}')
    assert "list of messages" in t.say("/load bad.json")
    assert saved(t, tmp_path) == []
    assert "Four." in t.say(" /etc/passwd is a path")
    assert saved(t, tmp_path)[0]["content"].strip() == "/etc/passwd is a path"


def test_soft_switch_in_a_message_goes_to_the_model(chat: Chat, script) -> None:
    t = chat(script(THINKER), "--verbose")
    assert "thinking off (soft switch)" in t.say("/no_think Why?")


def test_retry_undo_clear_and_load(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script("one", "two", "three"), "--no-think")
    t.say("q")
    assert "two" in t.say("/retry")
    t.say("more")
    assert [m["content"] for m in saved(t, tmp_path)] == ["q", "two", "more", "three"]
    t.say("/undo")
    assert [m["content"] for m in saved(t, tmp_path)] == ["q", "two"]
    t.say("/system Hello")
    t.say("/save kept.json")
    t.say("/clear")
    assert [m["content"] for m in saved(t, tmp_path)] == ["Hello"]
    assert "2 messages" in t.say("/load kept.json")
    assert [m["role"] for m in saved(t, tmp_path)] == ["system", "user", "assistant"]


def test_save_takes_nothing_from_a_file(chat: Chat, script, tmp_path: Path) -> None:
    kept = {
        "notes.json": '{"notes": 1}',
        "list.json": '[{"role": "user", "content": "other"}]',
        "text": "an hour of work",
    }
    for name, content in kept.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    t = chat(script("one", "two"), "--no-think")
    t.say("q")
    for name in [*kept, "folder"]:
        assert f"{name} exists and holds something else; choose another name" in t.say(f"/save {name}")
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert "saved 2 messages" in t.say("/save empty")
    t.say("/undo")
    assert "saved 0 messages" in t.say("/save empty"), "what this chat wrote it may write again"
    (tmp_path / "empty").write_text("mine now")
    assert "holds something else" in t.say("/save empty")
    begun = [{"role": "user", "content": "q"}]
    (tmp_path / "begun.json").write_text(json.dumps(begun))
    t.say("q")
    assert "saved 2 messages" in t.say("/save begun.json"), "the beginning of this conversation is not lost"
    assert [m["content"] for m in json.loads((tmp_path / "begun.json").read_text())] == ["q", "two"]
    assert "loaded 1 messages" in t.say("/load list.json")
    t.say("/clear")
    assert "saved 0 messages" in t.say("/save list.json"), "what was loaded from there goes back there"


def test_what_is_typed_while_the_model_talks_begins_the_next_message(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script({"text": COUNT[:200], "delay_ms": 20}), "--no-think")
    t.send("first\r")
    t.see("1 2 3")
    t.send("and é")
    t.see(">>> and é")
    t.say(" more")
    assert [m["content"] for m in saved(t, tmp_path) if m["role"] == "user"] == ["first", "and é more"]


def test_a_stopped_retry_leaves_the_old_answer(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script("one", {"text": "<think>\n" + COUNT, "delay_ms": 20}))
    t.say("q")
    t.send("/retry\r")
    t.see("1 2 3")
    t.send("\x03")
    t.see("not kept")
    t.prompt()
    assert [m["content"] for m in saved(t, tmp_path)] == ["q", "one"]


def test_several_lines(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script("ok"), "--no-think")
    t.send("first\x1b\rsecond")
    t.say("")
    t.say('"""\rthird\rfourth\r"""')
    t.send("\x1b[200~pasted\nlines\n\tand a tab\x1b[201~")
    t.say("")
    asked = [m["content"] for m in saved(t, tmp_path) if m["role"] == "user"]
    assert asked == ["first\nsecond", "third\nfourth", "pasted\nlines\n\tand a tab"]


def test_long_lines_and_a_changing_window(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script(COUNT[:1500] + " done"), "--no-think", rows=20, columns=40)
    text = "字" * 150 + "end"
    t.send(text)
    t.see("字end")
    t.resize(10, 25)
    t.send("\r")
    t.see("done")
    t.prompt()
    t.send("/save saved.json\r")
    t.see("saved 2 messages")
    assert json.loads((tmp_path / "saved.json").read_text())[0]["content"] == text


def test_enter_while_thinking_means_answer_now(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script({"text": "<think>\nhm hm ", "eos": False, "delay_ms": 20, "answer": "Four."}), "--verbose")
    t.send("2 + 2?\r")
    t.see("hm hm")
    t.send("\r")
    t.see("Four.")
    t.see("handed over: answer_now")
    t.prompt()
    assert saved(t, tmp_path)[1]["content"] == "Four."


def test_ctrl_c_stops_the_answer_and_the_chat_goes_on(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script({"text": COUNT, "delay_ms": 20}, "second"), "--no-think")
    t.send("first\r")
    t.see("1 2 3")
    t.send("\x03")
    t.prompt()
    assert "second" in t.say("and now?")
    contents = [m["content"] for m in saved(t, tmp_path)]
    assert contents[0] == "first" and contents[1].startswith("0 1 2 3") and len(contents[1]) < 2000
    assert contents[2:] == ["and now?", "second"]
    t.send("\x03")  # at the prompt
    assert t.ends() == 0


def test_stopped_while_thinking_the_question_is_dropped(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script({"text": "<think>\n" + COUNT, "delay_ms": 20}, "second"))
    t.send("first\r")
    t.see("1 2 3")
    t.send("\x03")
    t.see("not kept")
    t.prompt()
    assert saved(t, tmp_path) == []


def test_the_terminal_is_left_as_it_was(shell: Chat, command, script, tmp_path: Path) -> None:
    """Echo and line mode are back after a stopped answer and Ctrl-D."""
    run = shlex.join([*command, "run", script({"text": COUNT, "delay_ms": 20}), "--no-think"])
    t = shell(f"trap : INT; stty -a > before; {run}; stty -a > after; echo finished")
    t.prompt()
    t.send("q\r")
    t.see("1 2 3")
    t.send("\x03")
    t.prompt()
    t.send("\x04")
    t.see("finished")
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


def test_history_is_kept_private(chat: Chat, script, tmp_path: Path) -> None:
    model = script("ok")
    t = chat(model, "--no-think")
    t.say("remember me")
    t.send("\x04")
    assert t.ends() == 0
    (file,) = (tmp_path / "home").rglob("history")
    assert "remember me" in file.read_text() and file.stat().st_mode & 0o077 == 0
    t = chat(model, "--no-think")
    t.send("\x1b[A")
    t.say("")
    assert saved(t, tmp_path)[0]["content"] == "remember me"


def test_then_chat_goes_on_with_the_first_answer_in_mind(chat: Chat, script, tmp_path: Path) -> None:
    t = chat(script("first", "second"), "--no-think", "--then-chat", "hello")
    t.say("more")
    assert [m["content"] for m in saved(t, tmp_path)] == ["hello", "first", "more", "second"]


def test_stdout_in_a_file_while_typing_in_a_terminal(shell: Chat, command, script, tmp_path: Path) -> None:
    """ollama#7820: the chat works, the prompt is in the terminal, only answers are in the file."""
    t = shell(f"{shlex.join([*command, 'run', script(THINKER)])} > answers")
    t.prompt()
    shown = t.say("2 + 2?")
    assert "Let me see." in shown and "Four" not in shown
    t.send("\x04")
    assert t.ends() == 0
    assert (tmp_path / "answers").read_text() == "Four.\n"


def test_an_interrupt_from_outside_stops_the_answer_only(chat: Chat, script) -> None:
    t = chat(script({"text": COUNT, "delay_ms": 20}), "--no-think")
    t.send("q\r")
    t.see("1 2 3")
    t.child.kill(signal.SIGINT)
    t.prompt()
    t.send("\x04")
    assert t.ends() == 0


def test_a_long_prompt_says_how_far_it_is_read(chat: Chat, script) -> None:
    t = chat(script({"model": {"read_ms": 1.0}}, "<think>\n\n</think>\n\nThat was long."), "--system", "word " * 3000)
    t.send("Hi\r")
    t.see("reading the prompt: ")
    t.see("That was long.")
    assert "reading" not in t.text


def test_earlier_chats_go_on(chat: Chat, ponder, script) -> None:
    model = script("one", "two", "three")
    t = chat(model, "--no-think")
    t.say("the first thing")
    t.say("/new")
    assert "tokens/s; " in (t.say("/stats on") and t.say("another thing"))
    assert "the first thing" in t.say("/chats first") and "another" not in t.lines[t.screen.cursor.y - 1]
    assert "user: the first thing" in t.say("/open 2")
    t.send("\x04")
    assert t.ends() == 0
    done = ponder("run", script("four"), "-c", "go on")
    assert done.stdout == "four\n" and "assistant: two" in done.stderr
    assert ponder("run", script("five"), "not kept").stdout == "five\n"
    assert [line.split("  ")[-1] for line in ponder("logs").stdout.splitlines()] == ["another thing", "the first thing"]
    assert "four" in ponder("logs", "--show", "1").stdout
    assert ponder("logs", "go on", "--export", "kept.json").returncode == 0
    assert ponder("logs", "--export", "kept.json").returncode == 2, "nothing is written over"
    assert ponder("run", model, "--chat", "zz", "x").returncode == 2
    assert ponder("run", model, "--no-log", "-c", "x").returncode == 2


def test_another_model_in_the_same_chat(chat: Chat, script) -> None:
    other = script("from the other")
    t = chat(script("from the first"), "--no-think")
    assert "from the first" in t.say("hello")
    assert "no model" in t.say("/model qwen3:0.7b") or "qwen3:0.6b" in t.text
    assert "from the first" in t.say("still there?")
    t.say(f"/model {other}")
    assert "from the other" in t.say("and now?")
