"""`ponder serve --config FILE` and PONDER_SERVE_...: every flag from a file and from the environment."""

import argparse
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ponder.cli import serve_backends, settings
from ponder.cli.main import build_parser
from ponder.core.errors import UserError


def parsed(
    tmp_path: Path, file: str | None = None, words: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> argparse.Namespace:
    _, parser = build_parser("serve")
    argv = list(words)
    if file is not None:
        (tmp_path / "serve.toml").write_text(file)
        argv += ["--config", str(tmp_path / "serve.toml")]
    settings.apply(parser, argv, environment or {}, "PONDER_SERVE_")
    return parser.parse_intermixed_args(argv)


FILE = """
models = ["scripted:a", "scripted:b"]
queue = 16
memory = 8
no-auth = true
no-think = true
log-level = "warning"
allow-host = ["models.example"]
mcp = ["servers.json"]
[model."scripted:b"]
dtype = "int4"
max-context = 4096
"""


def test_file_environment_and_command_line(tmp_path: Path) -> None:
    args = parsed(
        tmp_path,
        FILE,
        ("--queue", "9", "--allow-host", "other"),
        {"PONDER_SERVE_QUEUE": "12", "PONDER_SERVE_PORT": "1"},
    )
    assert (args.queue, args.port, args.memory, args.no_auth, args.think) == (9, 1, 8.0, True, False)
    assert args.models == ["scripted:a", "scripted:b"] and args.mcp == [Path("servers.json")]
    assert args.allow_host == ["models.example", "other"], "what may be repeated is added to"
    assert parsed(tmp_path, FILE, ("scripted:c",)).models == ["scripted:c"]
    assert parsed(tmp_path, FILE, (), {"PONDER_SERVE_QUEUE": "12"}).queue == 12
    assert parsed(tmp_path, FILE).log_level == "warning"
    lists = parsed(tmp_path, None, (), {"PONDER_SERVE_MODELS": "a, b", "PONDER_SERVE_STRICT": "no"})
    assert (lists.models, lists.strict) == (["a", "b"], False)


def test_one_model_of_its_own(tmp_path: Path) -> None:
    args = parsed(tmp_path, FILE)
    own, other = (serve_backends.of_model(args, f"scripted:{name}") for name in "ba")
    assert (own.dtype, own.max_context, other.dtype, other.max_context) == ("int4", 4096, "auto", None)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("que = 3", "did you mean queue"),
        ("queue = 'many'", "queue is a whole number, got 'many'"),
        ("memory = 'much'", "memory is a number, got 'much'"),
        ("queue = 1.5", "does not fit"),
        ("queue = true", "does not fit"),
        ("no-auth = 1", "true or false"),
        ("log-level = 'loud'", "one of info, warning, error"),
        ("allow-host = 'x'", "a list of texts"),
        ("queue = ", "this is no TOML"),
        ("[model.x]\nqueue = 3", "no such setting"),
        ("[model.x]\ndtype = 'int5'", "is one of auto"),
    ],
)
def test_what_does_not_fit_is_named(file: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        parsed(tmp_path, file)
    with pytest.raises(UserError, match=r"PONDER_SERVE_QUEU: .*did you mean queue"):
        parsed(tmp_path, None, (), {"PONDER_SERVE_QUEU": "1"})


def test_what_is_printed_is_read_again(tmp_path: Path) -> None:
    args = parsed(tmp_path, FILE, ("--port", "8000", "--api-key", "k" * 20), {"PONDER_SERVE_QUEUE": "12"})
    text: str = args.shown(args)
    assert "kkkk" not in text
    assert "port = 8000 # command line" in text and "queue = 12 # PONDER_SERVE_QUEUE" in text
    assert f"memory = 8.0 # {tmp_path / 'serve.toml'}" in text and "drain = 30 # default" in text
    again = parsed(tmp_path, text)
    left_out = ("config", "sources", "shown", "print_config", "api_key")

    def told(a: argparse.Namespace) -> dict[str, Any]:
        return {k: v for k, v in vars(a).items() if k not in left_out}

    assert told(again) == told(args)
    assert tomllib.loads(text)["model"]["scripted:b"]["dtype"] == "int4"


def test_what_nobody_said_stays_open(tmp_path: Path) -> None:
    args = parsed(tmp_path)
    text: str = args.shown(args)
    assert "# think = " in text and "# no-think = " in text and "command line" not in text
    assert args.think is None and parsed(tmp_path, text).think is None, "each model has its own way"


def test_a_model_that_is_not_served(tmp_path: Path) -> None:
    args = parsed(tmp_path, "[model.elsewhere]\ndtype = 'int8'", ("scripted:a",))
    with pytest.raises(UserError, match="no such model is served"):
        serve_backends.pool(args, None)  # type: ignore[arg-type]


def test_no_variable_of_ours_is_set_by_chance() -> None:
    assert not [name for name in os.environ if name.startswith("PONDER_SERVE_")]
