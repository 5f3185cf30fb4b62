"""Which models `ponder serve` offers and who computes them: this process, a child process, or other servers."""

import argparse
import contextlib
import math
import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.loading import open_llm
from ponder.cli.terminal.printer import note
from ponder.core.errors import UpstreamError, UserError

if TYPE_CHECKING:
    from ponder.engine.llm import LLM
    from ponder.engine.remote import RemoteModel
    from ponder.server.runtime.pool import Pool

KEY = "PONDER_UPSTREAM_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who computes")
    group.add_argument("--engine", default="local", choices=("local", "vllm", "sglang", "openai"),
                       help="this process, vLLM, SGLang, or any OpenAI-compatible server (default: local)")  # fmt: skip
    group.add_argument("--url", action="append", default=[], metavar="URL",
                       help="of a server to attach to; repeat it for a fleet")  # fmt: skip
    group.add_argument("--dialect", default="auto", metavar="NAME",
                       help="what the servers at --url are: ponder, vllm, sglang, llama.cpp, ollama, openai "
                       "(default: auto, they tell)")  # fmt: skip
    group.add_argument("--upstream-key-file", metavar="FILE",
                       help=f"a file with the key for the servers at --url (or {KEY} in the environment)")  # fmt: skip
    group.add_argument("--engine-python", metavar="PYTHON", help="the Python that has vllm or sglang installed")
    group.add_argument(
        "--engine-args", default="", metavar="ARGS", help="further flags for vllm or sglang, in one text"
    )


def pool(args: argparse.Namespace, stack: contextlib.ExitStack) -> "Pool":
    """stack: closes what is started here. Raises UserError for flags that do not go together."""
    if args.engine == "local":
        for flag in ("url", "upstream_key_file", "engine_python", "engine_args"):
            if getattr(args, flag):
                name = flag.replace("_", "-")
                raise UserError(f"--{name} needs --engine vllm, sglang or openai", param=name)
        return _local(args)
    for flag in ("memory", "max_budget", "max_tokens"):
        if getattr(args, flag) is not None:
            name = flag.replace("_", "-")
            raise UserError(f"--{name} is about models of this process: it needs --engine local", param=name)
    return _remote(args, stack)


def _local(args: argparse.Namespace) -> "Pool":
    from ponder.engine.decoding.settings import Ceiling
    from ponder.server.runtime.pool import Pool

    if args.memory is None:
        memory, kv_memory = None, None
    elif not 0 < args.memory < math.inf:
        raise UserError(f"--memory must be a number of GB above 0, got {args.memory:g}", param="memory")
    else:
        memory = int(args.memory * 1e9)
        kv_memory = memory // 4
    check_names(args.models)
    ceiling = Ceiling(budget=args.max_budget, max_tokens=args.max_tokens)
    opener = partial(open_llm, kv_memory=kv_memory, max_batch=args.max_batch, ceiling=ceiling)
    adapters = named_adapters(args.adapter)
    if strangers := [name for name in args.model_settings if name not in args.models]:
        raise UserError(f'[model."{strangers[0]}"]: no such model is served; name it among the models', param="config")

    def opened(name: str | None) -> "LLM":
        return opener(name, args=of_model(with_adapters(args, []), name))

    first_name = args.models[0] if args.models else None
    first = opened(first_name)
    started = [first_name or first.name, *args.models[1:]]
    called = served_names(args.served_model_name, [first.name, *started[1:]], started)
    models: dict[str, Callable[[], LLM | RemoteModel]] = {
        names[0]: partial(opened, name) for name, names in zip(started, called)
    }
    for name, path in adapters.items():
        if name in {other for names in called for other in names}:
            raise UserError(f"--adapter {path}: another model is called {name}; say NAME=PATH", param="adapter")
        models[name] = partial(opener, first_name, args=of_model(with_adapters(args, [path]), first_name))
    needs = {}
    if kv_memory:
        computed = [*started, *[started[0]] * len(adapters)]
        needs = {offered: _needs(name, of_model(args, name), kv_memory) for offered, name in zip(models, computed)}
    offered = Pool(
        models, keep=args.keep, memory=memory, needs=needs, any_name=args.any_model_name, opens=opened,
        aliases={names[0]: names[1:] for names in called},
        known_as={names[0]: (name,) for name, names in zip(started, called)} | {called[0][0]: (started[0], first.name)},
    )  # fmt: skip
    default = offered.models[offered.default]
    if memory is not None and (need := default.needs()) > memory:
        raise UserError(f"{first.name} needs {need / 1e9:.1f} GB, --memory gives {memory / 1e9:.1f}", param="memory")
    default.attach(first)
    return offered


def named_adapters(flags: list[str]) -> dict[str, str]:
    """--adapter [NAME=]PATH: each by its name, by default that of its folder or file. Raises UserError for one that is
    not there, before the first model is loaded."""
    found: dict[str, str] = {}
    for flag in flags:
        name, equals, path = flag.partition("=")
        if not equals:
            name, path = Path(flag).resolve().stem, flag
        if not Path(path).exists():
            raise UserError(f"--adapter {flag}: {path} is not there", param="adapter")
        if not name or name in found:
            raise UserError(f"--adapter {flag}: say NAME=PATH, with another name for each", param="adapter")
        found[name] = path
    return found


def with_adapters(args: argparse.Namespace, adapters: list[str]) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(args), "adapter": adapters})


def of_model(args: argparse.Namespace, name: str | None) -> argparse.Namespace:
    """The flags, with what the file of settings says of this model."""
    return argparse.Namespace(**{**vars(args), **args.model_settings.get(name, {})})


def served_names(flags: list[str], own: list[str], started: list[str]) -> list[list[str]]:
    """What each model is called: as its flags say, NAME for the first model or NAME=MODEL, or by its own name. own,
    started: the name of each, and what it was started with. Raises UserError for a model that is not there."""
    chosen: list[list[str]] = [[] for _ in own]
    for flag in flags:
        name, _, model = flag.partition("=")
        places = [n for n in range(len(own)) if model in (own[n], started[n])] if model else [0]
        if not name or not places:
            there = ", ".join(started)
            raise UserError(f"--served-model-name {flag!r} is NAME or NAME=MODEL; MODEL is one of {there}")
        chosen[places[0]].append(name)
    called = [names or [name] for names, name in zip(chosen, own)]
    everybody = [name for names in called for name in dict.fromkeys(names)]
    if twice := [name for name in everybody if everybody.count(name) > 1]:
        raise UserError(
            f"two models are called {twice[0]}: --served-model-name NAME=MODEL gives each its own", param="models"
        )
    return [[*dict.fromkeys(names)] for names in called]


def check_names(models: list[str]) -> None:
    """Raises UserError for a name that leads nowhere, before the first model is loaded and not when it is asked for."""
    from ponder.model.hub.registry import resolve

    for model in models:
        resolve(model)


def keys_in(file: str | None, flag: str = "--api-key-file") -> dict[str, str]:
    """The API keys in the file that the flag names, each with its name. Raises UserError for a file without any or with
    a bad one, OSError for a missing one."""
    from ponder.server.accounts.keys import parse

    if file is None:
        return {}
    try:
        text = Path(file).read_text("utf-8")
    except UnicodeDecodeError as e:
        raise UserError(f"{flag} {file}: this is no text file", param=flag.removeprefix("--")) from e
    return parse(text, f"{flag} {file}")


def _needs(name: str, args: argparse.Namespace, kv_memory: int) -> Callable[[], int]:
    """Weights and cache of a model; its files are looked at once, when somebody asks."""
    known: list[int] = []

    def needs() -> int:
        from ponder.model.hub.fetch import locate
        from ponder.model.info import describe

        if not known:
            local = locate(name)
            if local.name.kind == "scripted":
                known.append(0)
            else:
                info = describe(local.path, dtypes=(args.dtype,))
                known.append(info.weight_bytes.get(args.dtype, info.stored_bytes) + kv_memory)
        return known[0]

    return needs


def _remote(args: argparse.Namespace, stack: contextlib.ExitStack) -> "Pool":
    from ponder.engine.remote import RemoteModel
    from ponder.engine.remote.process import EngineProcess
    from ponder.server.http.log import log
    from ponder.server.runtime.pool import Pool

    urls, names, dialect = list(args.url), list(args.models), args.dialect
    if not urls:
        if args.engine == "openai":
            raise UserError("--engine openai needs --url", param="url")
        if len(names) != 1:
            raise UserError(f"--engine {args.engine} starts one model: name it, or give --url", param="models")
        note(f"starting {args.engine} with {names[0]} ...")
        child = EngineProcess(args.engine, names[0], python=args.engine_python, extra=shlex.split(args.engine_args),
                              said=log.error)  # fmt: skip
        stack.enter_context(child)
        urls, names = [child.url], [child.name]
    if args.engine in ("vllm", "sglang") and dialect == "auto":
        dialect = args.engine
    key = Path(args.upstream_key_file).read_text().strip() if args.upstream_key_file else os.environ.get(KEY)

    def remote(name: str | None) -> "RemoteModel":
        return RemoteModel(urls, model=name, api_key=key, dialect=dialect, watch=True)

    if not names:
        with remote(None) as asked:
            try:
                names = list(asked.offered())
            except UpstreamError as e:
                raise UserError(f"no server at --url answers: {e}", param="url") from e
    if not names:
        raise UserError("the servers at --url offer no model; name one", param="url")
    called = served_names(args.served_model_name, names, names)
    offered = Pool(
        {own[0]: partial(remote, name) for name, own in zip(names, called)}, keep=len(names),
        aliases={own[0]: own[1:] for own in called}, known_as={own[0]: (name,) for name, own in zip(names, called)},
        any_name=args.any_model_name,
    )  # fmt: skip
    for name, served in zip(names, offered.models.values()):
        served.attach(stack.enter_context(remote(name)))
    return offered
