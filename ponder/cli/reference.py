"""Writes docs/cli.md from the parsers themselves, so that the reference cannot disagree with the program.

python -m ponder.cli.reference > docs/cli.md
"""

import argparse

from ponder.cli.main import GROUPS, build_parser

HEAD = """\
# The command line

`ponder COMMAND` is a table of commands (`ponder/cli/main.py`); each is one module that is imported only when it is
used, so that `ponder --help` needs no model code. This page is written by the parsers themselves
(`python -m ponder.cli.reference > docs/cli.md`, or `make docs`), and a test fails when it is stale.

```bash
ponder --version
ponder show qwen3:0.6b
echo '{"text": "hello"}' | ponder tokenize
```

Rules that hold everywhere:

* Results go to stdout, everything else (thoughts, progress, remarks, errors) to stderr.
* Exit codes: 0 done, 1 the command could not finish, 2 the input was wrong, 130 Ctrl-C, 141 the reader of a pipe left.
* Models lie in `~/.cache/ponder`, chats, workspaces and typed lines in `~/.local/share/ponder` (`XDG_DATA_HOME`); with
  `PONDER_HOME` both are in the folder that it names. `NO_COLOR` turns styles off.

**To add a command:** a module in `ponder/cli/` with `DESCRIPTION`, `NOTES`, `add_arguments(parser)` and
`run(args) -> exit code`, heavy imports inside `run`; one line in the table of `main.py`; `make docs`.

## In the chat

`ponder run` without a prompt opens the chat. `ponder agent` has the same commands. Every line that begins with a
slash is for the chat itself:

```text
{chat_help}
```

A message that *contains* `/think` or `/no_think` is Qwen's soft switch for that turn and goes to the model, as does
`/no_think Why is ...?`. Thoughts are shown and saved, but not sent back in later turns: that is how the model was
trained. Ctrl-C during an answer keeps the part that was said; before the answer it drops the question.
"""


def page() -> str:
    from ponder.cli.terminal.chat_commands import help_text

    parts = [HEAD.replace("{chat_help}", help_text())]
    for title, group in GROUPS.items():
        parts.append(f"## Commands: {title}\n")
        parts += [section(name) for name in group]
    return "\n".join(parts).rstrip() + "\n"


def section(name: str) -> str:
    _, parser = build_parser(name)
    lines = [f"### ponder {name}", "", *text(parser.description), ""]
    for group in parser._action_groups:
        rows = [row(a) for a in group._group_actions if a.help != argparse.SUPPRESS and "-h" not in a.option_strings]
        if rows:
            lines += [f"| {group.title} | |", "|---|---|", *rows, ""]
    return "\n".join([*lines, *text(parser.epilog), ""])


def text(block: str | None) -> list[str]:
    return ["```text", *block.strip().splitlines(), "```"] if block else []


def row(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
    value = "" if action.nargs == 0 else str(action.metavar or choices or action.dest.upper())
    flag = " ".join([", ".join(action.option_strings), value]).strip()
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{flag}`", action.help or "")) + " |"


if __name__ == "__main__":
    print(page(), end="")
