"""`ponder serve [MODEL...]`: the HTTP server.

ponder serve
ponder serve qwen3:0.6b --port 8000
"""

import argparse
import contextlib
import faulthandler
import sys
from pathlib import Path

from ponder.cli import options, serve_backends, settings
from ponder.cli.agent_tools import add_tool_flags, tools_of
from ponder.cli.terminal.printer import note

DESCRIPTION = "Serve models over HTTP, as OpenAI-compatible clients expect it."
NOTES = """\
The first model is the default and is loaded at start; the others when they are first asked for. --keep says how many
may be loaded at once, --memory how much they may take: the one that was not used for longest goes first.
--engine vllm and sglang start that engine as a child process (--engine-python names the environment that has it), or
attach to servers that run already (--url). --engine openai passes on to any OpenAI-compatible server. Several --url are
a fleet: docs/fleet.md.
The server listens on this machine only, unless --host says otherwise; then --api-key is required (or --no-auth).
Tools are for the web chat alone: --tool and --mcp as in `ponder agent`; what asks for approval asks there.
A key on the command line can be read by everybody on this machine: --api-key-file keeps it out of there.
Every flag can stand in a TOML file (--config) or in the environment (PONDER_SERVE_QUEUE=16); [model."NAME"] in the file
has what holds for one model. The command line goes first, then the environment. --print-config shows what is in force.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names, folders or .gguf files (default: as `run`)")
    where = parser.add_argument_group("who may ask")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    where.add_argument("--port", type=int, default=11435, help="port (default: 11435)")
    where.add_argument("--root-path", default="", metavar="/PATH",
                       help="the path below which a proxy shows us, such as /ponder")  # fmt: skip
    where.add_argument("--ssl-certfile", metavar="FILE", help="a certificate: HTTPS instead of HTTP")
    where.add_argument("--ssl-keyfile", metavar="FILE", help="its key")
    where.add_argument("--forwarded-allow-ips", default="127.0.0.1", metavar="LIST",
                       help="proxies that may say whom they speak for (default: 127.0.0.1)")  # fmt: skip
    where.add_argument("--api-key", action="append", default=[], metavar="KEY", help="a key that opens the API")
    where.add_argument("--api-key-file", metavar="FILE", help="keys that open the API, one a line, or NAME: KEY")
    where.add_argument("--admin-key-file", metavar="FILE", help="keys that may also pull and delete models")
    where.add_argument("--key-book", metavar="FILE",
                       help="named keys that `ponder key` makes (default: keys.json beside the chats)")  # fmt: skip
    options.add_door_flags(where)
    names = parser.add_argument_group("what the models are called")
    names.add_argument("--served-model-name", action="append", default=[], metavar="NAME[=MODEL]",
                       help="a name of the first model, or of MODEL; repeat it for more")  # fmt: skip
    names.add_argument("--any-model-name", action="store_true",
                       help="the first model answers to every other name, too, with a warning")  # fmt: skip
    how = parser.add_argument_group("how requests are served")
    how.add_argument("--keep", type=int, default=1, metavar="N", help="models that may be loaded at once (default: 1)")
    how.add_argument(
        "--memory", type=float, metavar="GB", help="that loaded models may take together (default: no limit)"
    )
    how.add_argument("--queue", type=int, default=64, metavar="N", help="requests that may wait (default: 64)")
    how.add_argument("--key-limit", type=int, metavar="N",
                     help="requests of one API key, running and waiting (default: an equal part of all)")  # fmt: skip
    how.add_argument("--timeout", type=float, metavar="S", help="seconds that a request may run (default: no limit)")
    how.add_argument("--drain", type=int, default=30, metavar="S",
                     help="seconds to end after SIGTERM; a second one stops at once (default: 30)")  # fmt: skip
    how.add_argument("--watchdog", type=float, default=300.0, metavar="S",
                     help="seconds a step may take before the process ends with code 70 (default: 300)")  # fmt: skip
    how.add_argument("--log-level", default="info", choices=("info", "warning", "error"),
                     help="of the JSON lines on stderr (default: info)")  # fmt: skip
    how.add_argument("--log-prompts", action="store_true", help="write into the log what people ask")
    how.add_argument("--max-body", type=int, default=32, metavar="MB", help="largest request body (default: 32)")
    how.add_argument("--keep-responses", type=int, default=256, metavar="MB",
                     help="that stored replies of /v1/responses may take; 0 stores none (default: 256)")  # fmt: skip
    how.add_argument("--restore-thoughts", type=int, default=0, metavar="MB",
                     help="for thoughts that clients do not send back in tool loops (default: 0, off)")  # fmt: skip
    how.add_argument("--linger", type=float, default=10, metavar="S",
                     help="seconds that a web reply goes on when its page was closed (default: 10)")  # fmt: skip
    how.add_argument("--strict", action="store_true", help="unknown request fields are errors, not warnings")
    how.add_argument("--reasoning-field", default="both", choices=("both", "reasoning_content", "reasoning", "none"),
                     help="how the thoughts are called in OpenAI replies (default: both)")  # fmt: skip
    how.add_argument("--max-batch", type=int, default=32, metavar="N", help="requests computed together (default: 32)")
    how.add_argument("--max-tokens", type=int, metavar="N",
                     help="tokens of any reply at most, thoughts included; a request may ask for less")  # fmt: skip
    how.add_argument("--max-budget", type=int, metavar="N",
                     help="tokens of any request's thoughts at most; a request may ask for less")  # fmt: skip
    add_tool_flags(parser.add_argument_group("tools that models may use in the web chat"))
    serve_backends.add_arguments(parser)
    thinking = parser.add_argument_group("thinking, when a request does not say")
    switch = thinking.add_mutually_exclusive_group()
    switch.add_argument("--think", action="store_true", default=None, help="think")
    switch.add_argument("--no-think", action="store_false", default=None, dest="think", help="do not think")
    thinking.add_argument("--budget", type=int, metavar="N", help="think for at most N tokens")
    thinking.add_argument("--tool-in-thinking", choices=("text", "close"),
                          help="tool calls that thoughts end with, where no </think> follows: text of the thoughts, or "
                          "close: the answer (default: close)")  # fmt: skip
    options.add_load_flags(parser, adapter="[NAME=]PATH")
    settings.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    if args.print_config:
        print(args.shown(args), end="")
        return 0
    from ponder.core.params import Thinking
    from ponder.engine.decoding.settings import choose_mode
    from ponder.model.hub.data_folder import chats, data_home
    from ponder.server.app import build
    from ponder.server.config import ServerConfig
    from ponder.server.http.log import configure
    from ponder.server.runtime.admission import Admission
    from ponder.server.runtime.lifecycle import DrainingServer, take_address, url_of
    from ponder.server.runtime.service import Service

    keys = dict.fromkeys(args.api_key, "") | serve_backends.keys_in(args.api_key_file)
    admins = serve_backends.keys_in(args.admin_key_file, "--admin-key-file")
    names = keys | {key: name or keys.get(key, "") for key, name in admins.items()}
    config = ServerConfig(
        host=args.host, port=args.port, api_keys=tuple(keys), admin_keys=tuple(admins), key_names=names,
        key_book=None if args.no_auth else Path(args.key_book or data_home() / "keys.json"),
        open_access=args.no_auth, queue=args.queue, timeout=args.timeout, strict=args.strict,
        reasoning_field=args.reasoning_field,
        max_body=args.max_body << 20, linger=args.linger, hosts=tuple(args.allow_host),
        origins=tuple(args.allow_origin), drain=args.drain, watchdog=args.watchdog, log_prompts=args.log_prompts,
        key_limit=args.key_limit, keep_responses=args.keep_responses << 20,
        restore_thoughts=args.restore_thoughts << 20, root_path=args.root_path, ssl_certfile=args.ssl_certfile,
        ssl_keyfile=args.ssl_keyfile, forwarded_allow_ips=args.forwarded_allow_ips,
    )  # fmt: skip
    configure(args.log_level)
    faulthandler.enable(sys.__stderr__ or sys.stderr)  # what kills the process from native code says where
    tools = tools_of(args)
    with contextlib.ExitStack() as stack:
        sockets = take_address(config)
        pool = serve_backends.pool(args, stack)
        admission = Admission(config, args.max_batch)
        thinking = Thinking(enabled=args.think, budget=args.budget, tool_in_thinking=args.tool_in_thinking)
        first = pool.find(None).llm
        if first is not None and first.abilities.local:
            choose_mode(thinking, (), first.profile)  # refuses what this model cannot do
        service = Service(config, pool, admission, thinking)
        server = DrainingServer(build(service, chats(note), tools), config, admission)
        note(f"{pool.default} at {url_of(config, sockets)}")
        server.run(sockets)
        return 0 if server.started else 1
