"""`ponder run [MODEL] [PROMPT...]`: one answer, or a chat.

ponder run "Why is the sky blue?"
git diff | ponder run "Write a commit message for this change" > message.txt
"""

import argparse
import json
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli import options
from ponder.cli.chats import WantedChat
from ponder.cli.documents import document, remark_on_files
from ponder.cli.loading import ModelSlot, models_here
from ponder.cli.terminal.printer import Printer, note, rate, remarks, stats
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.cli.terminal.session import ChatSession
    from ponder.engine.decoding.settings import ModelProfile
    from ponder.engine.llm import LLM

SAMPLE = "Write a Python function that tells whether a string is a palindrome."
DESCRIPTION = "Ask a model one question, or chat with it."
NOTES = f"""\
MODEL and PROMPT. The first word is the model when it is a name that `ponder list` knows, a repository (hf:owner/name,
ms:owner/name), a folder or .gguf file that exists, or scripted:FILE. Otherwise every word belongs to the prompt, and
the best model that is here (or can be had) is taken; stderr says which and why. --model NAME leaves no doubt.
A first word that looks like a misspelt or foreign model ("ponder-min", llama3.2 "a question") is refused, not asked.

Standard input. Text from a pipe or a file is the prompt; given a PROMPT as well, it follows the PROMPT after an empty
line. It is read to its end first. With a terminal there and no PROMPT the chat begins. With /dev/null there and no
PROMPT a sample question is asked ("{SAMPLE}").

Output. The answer goes to stdout; thoughts, dimmed, and every remark go to stderr. So a pipe gets the answer alone.
--json prints one object instead, with the answer, the thoughts, the token counts and the settings that held.

Chats and answers that a terminal shows are kept with the chats of the page (`ponder logs`); --continue goes on with the
last one. What goes into a pipe or a file is not kept.

Exit codes: 0 an answer was given, 1 there is none (stderr says why), 2 the input was wrong, 130 Ctrl-C.

examples:
  ponder run
  ponder run "Why is the sky blue?" --budget 200
  ponder run qwen3:0.6b --no-think "Translate to French: good morning"
  ponder run -f report.pdf -f notes.md "What do they disagree about?"
  ponder run -c "And in French?"
  git diff | ponder run "Write a commit message for this change:" > message.txt
  ponder run --json-schema '{{"type": "object", "properties": {{"age": {{"type": "integer"}}}}}}' "Ada is 36."
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ponder run [options] [MODEL] [PROMPT ...]"
    parser.add_argument("words", nargs="*", metavar="MODEL PROMPT", help="a model, a prompt, or both; see below")
    parser.add_argument("--model", metavar="NAME", help="the model; every other word belongs to the prompt")
    parser.add_argument("-f", "--file", type=Path, action="append", default=[], metavar="FILE",
                        help="a document to ask about: text, code, PDF, docx, xlsx, HTML ...; repeat it")  # fmt: skip
    parser.add_argument("--system", metavar="TEXT", help="instructions that come before the conversation")
    parser.add_argument("--then-chat", action="store_true",
                        help="in a terminal: go on into the chat after the first answer")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--verbose", action="store_true", help="say on stderr how fast it was and which settings held")
    options.add_chat_flags(parser)
    options.add_generation_flags(parser)
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    model, prompt = split_words(args.model, args.words)
    if prompt is not None and (remark := remark_on_files(prompt)):
        note(remark)
    prompt, attached = with_stdin(prompt), [document(file) for file in args.file]
    chatting = prompt is None or (args.then_chat and sys.stdin.isatty() and sys.stdout.isatty())
    wanted = WantedChat(args, always=chatting)
    generation = options.generation_options(args)  # before the model is loaded: a wrong flag should not cost a minute
    start = time.perf_counter()
    with ModelSlot(model, args, introduce=chatting) as slot:
        loaded = time.perf_counter() - start
        session = new_session(slot.model.profile, generation, args.system)
        session.attached, session.stats = attached, args.stats
        wanted.begin(session)
        if prompt is None or chatting:
            slot.model.engine.prepare()  # while the user types
            return start_chat(slot, session, prompt, args)
        return one_shot(slot.model, session, session.question(prompt), args, loaded)


def split_words(model: str | None, words: list[str]) -> tuple[str | None, str | None]:
    """(model, prompt) of the words on the command line, as NOTES says; None where there is none."""
    if model is None and words:
        if is_model(words[0]):
            model, words = words[0], words[1:]
        elif len(words) == 2 and " " in words[1] and re.fullmatch(r"[^\W\d][\w.-]*\d[\w.-]*", words[0]):
            raise _no_model(words[0])  # llama3.2 "Why is the sky blue?"
    prompt = " ".join(words)
    if words and not prompt.strip():  # an unset variable in a script, more likely than a wish
        raise UserError("the PROMPT is empty; leave it out to chat", param="prompt")
    return model, prompt or None


def is_model(word: str) -> bool:
    """Raises UserError for a word that was meant as a model but is none, rather than asking a model about it."""
    from ponder.model.hub import registry

    if word.startswith("scripted:") or registry.known(word) or registry.is_path(word):
        return True
    if re.fullmatch(r"[\w.-]+:[\w.-]+|\S+\.gguf|[.~]{0,2}/\S+", word):
        raise _no_model(word)
    if re.fullmatch(r"\w+[-.\d][\w.-]*", word) and registry.near(word, 0.75):  # ponder-min, qwen3
        raise _no_model(word)
    return False


def _no_model(word: str) -> UserError:
    from ponder.model.hub import registry

    said = f"{registry.unknown(word)} If {registry.quoted(word)} is a prompt, name the model with --model."
    return UserError(said, param="model")


def with_stdin(prompt: str | None) -> str | None:
    """The prompt with what standard input adds to it; None means that the chat should begin."""
    if prompt is not None:
        check_text(prompt)
    if stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode):
        if prompt is None and not sys.stdin.isatty():
            note(f"No PROMPT, so here is a sample question: {SAMPLE}")
            return SAMPLE
        return prompt
    piped = read_stdin().rstrip("\n")
    if not piped.strip():
        if prompt is None:
            raise UserError("standard input is empty and there is no PROMPT")
        return prompt
    return piped if prompt is None else f"{prompt}\n\n{piped}"


def read_stdin() -> str:
    """All of it. Raises UserError for what is no text."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as e:
        raise UserError(f"standard input is not UTF-8 text (byte {e.start})") from e


def check_text(prompt: str) -> None:
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as e:
        raise UserError("the PROMPT is not valid UTF-8 text") from e


def new_session(profile: "ModelProfile", generation: options.GenerationOptions, system: str | None) -> "ChatSession":
    from ponder.cli.terminal.session import ChatSession

    given = {name: getattr(generation.sampling, name) for name in options.SAMPLING} | {
        "enabled": generation.thinking.enabled,
        "budget": generation.thinking.budget,
    }
    sources = {name: "flag" for name, value in given.items() if value is not None}
    return ChatSession(
        profile, generation.sampling, generation.thinking, generation.grammar, system, sources=sources,
        models=models_here,
    )  # fmt: skip


def one_shot(llm: "LLM", session: "ChatSession", prompt: str, args: argparse.Namespace, loaded: float) -> int:
    from ponder.cli.terminal.keys import watch_keys
    from ponder.cli.terminal.reading import reading

    stream = llm.stream(session.request(prompt))
    printer = Printer(thoughts=not (args.hide_thinking or args.json), answer=not args.json)
    with watch_keys(stream, keys=False):
        finish = printer.show(reading(stream))
    if finish.reason == "cancelled":
        raise KeyboardInterrupt
    if args.json:
        print(json.dumps(as_object(printer, llm), ensure_ascii=False))
    for remark in remarks(finish):
        note(remark)
    if args.verbose:
        note(stats(printer, loaded))
    elif args.stats:
        note(rate(finish.usage.completion_tokens, printer.first_token, printer.seconds))
    if printer.text.strip():
        session.answered(prompt, printer.text, printer.reasoning)
        if trouble := session.keep():
            note(trouble)
        return 0
    note("there is no answer" + ("" if finish.reason == "length" else ": the model ended at once"))
    return 1


def as_object(printer: Printer, llm: "LLM") -> dict[str, object]:
    from msgspec import to_builtins

    finish = printer.finish
    return {
        "model": llm.profile.name,
        "content": printer.text,
        "reasoning": printer.reasoning,
        "finish_reason": finish.reason,
        "stop_reason": finish.stop_reason,
        "handover": finish.handover,
        "usage": to_builtins(finish.usage),
        "effective": to_builtins(finish.effective),
        "warnings": list(finish.warnings),
    }


def start_chat(slot: ModelSlot, session: "ChatSession", first: str | None, args: argparse.Namespace) -> int:
    from ponder.cli.terminal.chat import chat
    from ponder.model.hub.data_folder import typed_lines

    return chat(slot, session, first, history=typed_lines(note), thoughts=not args.hide_thinking, verbose=args.verbose)
