"""`ponder mcp [MODEL...]`: Ponder as an MCP server, for agents and editors that speak MCP.

ponder mcp qwen3:0.6b
ponder mcp qwen3:0.6b --http --port 11436
"""

import argparse
from functools import partial

from ponder.cli import options
from ponder.cli.loading import open_llm
from ponder.cli.serve_backends import check_names, keys_in
from ponder.cli.terminal.printer import note
from ponder.core.errors import UserError

HTTP = ("host", "port", "api_key_file", "no_auth", "allow_host", "allow_origin")  # mean nothing without --http
DESCRIPTION = "Offer this machine's models to MCP clients: chat, think with a budget, run code in a sandbox."
NOTES = """\
Without --http it talks over stdin and stdout, as hosts start it:
  {"mcpServers": {"ponder": {"command": "ponder", "args": ["mcp", "qwen3:0.6b"]}}}
The first model is loaded at once, during the handshake; the others when they are first asked for.
Code that clients send runs in a sandbox; where there is none, the tool is not offered, and stderr says why.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names, folders or .gguf files (default: as `run`)")
    where = parser.add_argument_group("over HTTP")
    where.add_argument("--http", action="store_true", help="streamable HTTP instead of stdin and stdout")
    where.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    where.add_argument("--port", type=int, help="port (default: 11436)")
    where.add_argument("--api-key-file", metavar="FILE", help="keys that open the server, one a line, or NAME: KEY")
    options.add_door_flags(where)
    how = parser.add_argument_group("how calls are served")
    how.add_argument("--keep", type=int, default=1, metavar="N", help="models that may be loaded at once (default: 1)")
    how.add_argument("--queue", type=int, default=64, metavar="N", help="calls that may wait (default: 64)")
    how.add_argument("--timeout", type=float, metavar="S", help="seconds that a call may run (default: no limit)")
    code = parser.add_argument_group("the tool run_code")
    code.add_argument("--no-code", action="store_true", help="do not offer it")
    code.add_argument("--unsafe-host-exec", action="store_true", help="run code on this machine without a sandbox")
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    try:
        from ponder.server.mcp import run as mcp_run
    except ModuleNotFoundError as e:
        raise UserError(f"MCP needs the package {e.name}: pip install 'ponder-llm[agent]'") from e
    from ponder.server.config import ServerConfig
    from ponder.server.runtime.admission import Admission
    from ponder.server.runtime.lifecycle import take_address, url_of
    from ponder.server.runtime.pool import Pool
    from ponder.server.runtime.service import Service

    for flag in HTTP:
        if not args.http and getattr(args, flag):
            raise UserError(f"--{flag.replace('_', '-')} needs --http", param=flag)
    check_names(args.models)
    keys = keys_in(args.api_key_file)
    config = ServerConfig(
        host=args.host or "127.0.0.1", port=11436 if args.port is None else args.port,
        api_keys=tuple(keys), key_names=keys, open_access=args.no_auth, queue=args.queue,
        timeout=args.timeout, hosts=tuple(args.allow_host), origins=tuple(args.allow_origin),
    )  # fmt: skip
    names = args.models or [None]
    pool = Pool({name or "default": partial(open_llm, name, args) for name in names}, keep=args.keep)
    service = Service(config, pool, Admission(config, capacity=32))
    sockets = take_address(config) if args.http else None
    if sockets:
        note(f"MCP at {url_of(config, sockets)}/mcp")
    mcp_run.run(service, sockets=sockets, code=not args.no_code, unsafe_host_exec=args.unsafe_host_exec, tell=note)
    return 0
