"""The `mcpServers` form that hosts of MCP servers share, read and checked: every key means something or is an error.

    {"mcpServers": {
        "time": {"command": "mcp-server-time", "args": ["--local-timezone=Europe/Berlin"]},
        "docs": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${DOCS_KEY}"}}}}

`${NAME}` and `${NAME:-default}` in a value are taken from the environment. docs/mcp.md has the table of keys.
"""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ponder.agent.tools.tool import Approval
from ponder.core.errors import UserError

Wire = Literal["stdio", "http", "sse"]

# What a stdio server gets of our environment: the small default of the official SDK, and what programs need to find
# certificates, proxies, their language, libraries and temporary folder. Nothing else, keys and tokens above all.
INHERITED = (
    "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER",
    "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
WIRES: dict[str, Wire] = {
    "stdio": "stdio", "sse": "sse", "http": "http",
    "streamable-http": "http", "streamable_http": "http", "streamableHttp": "http",
}  # fmt: skip
# Keys of other hosts, and what to write here instead.
ELSEWHERE = {
    "timeout": "tool_timeout, in seconds",
    "sse_read_timeout": "tool_timeout, in seconds",
    "startup_timeout": "connect_timeout, in seconds",
    "autoApprove": 'approval: {"tool": "auto"}',
    "alwaysAllow": 'approval: {"tool": "auto"}',
    "trust": 'trust_annotations, or approval: "auto"',
    "serverUrl": "url",
    "httpUrl": "url",
    "workingDirectory": "cwd",
    "envFile": "env, or inherit_env",
}


class McpServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server. Either command (with args, env, inherit_env, cwd), or url (with headers).

    type, transport: the same thing, "stdio", "http" (also "streamable-http") or "sse". A url without it is tried as
    streamable HTTP, then as SSE. inherit_env: names of further variables that the server gets from our environment.
    required: when it does not start, opening fails. connect_timeout, tool_timeout: seconds.
    approval: "auto", "ask" or "deny" for all tools, or by the server's own tool names ("*": the others).
    trust_annotations: believe the server which of its tools only read; those then run without asking.
    pin: a tool whose description or schema changes is switched off until it is approved again.
    resources: offer tools that list and read the server's resources, if it has any.
    max_result: characters of a result that the model gets. disabled: as if it were not there.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    inherit_env: tuple[str, ...] = ()
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    type: str | None = None
    transport: str | None = None
    required: bool = False
    connect_timeout: float = 30.0
    tool_timeout: float = 60.0
    approval: Approval | dict[str, Approval] = {}
    trust_annotations: bool = False
    pin: bool = True
    resources: bool = True
    max_result: int = 50_000
    disabled: bool = False

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise UserError("a server has either a command (to start) or a url (to connect to)")
        wrong = ("headers",) if self.command is not None else ("args", "env", "inherit_env", "cwd")
        for key in wrong:
            if getattr(self, key):
                raise UserError(f"{key} means nothing for a server with a {'url' if self.url else 'command'}")
        if self.type and self.transport and WIRES.get(self.type) != WIRES.get(self.transport):
            raise UserError(f"type {self.type!r} and transport {self.transport!r} contradict each other")
        said = self.type or self.transport
        if said is not None and said not in WIRES:
            raise UserError(f"type {said!r} is not known; there are stdio, http and sse")
        if said is not None and (WIRES[said] == "stdio") != (self.command is not None):
            raise UserError(f"type {said!r} does not go with a {'url' if self.url else 'command'}")
        if self.url is not None and not re.match(r"https?://[^/]", self.url):
            raise UserError(f"url must begin with http:// or https://, got {self.url!r}")
        for key in ("connect_timeout", "tool_timeout"):
            if not 0 < getattr(self, key) <= 86400:
                raise UserError(f"{key} is a number of seconds above 0, got {getattr(self, key)}")
        if self.max_result < 100:
            raise UserError(f"max_result is at least 100 characters, got {self.max_result}")

    def wires(self) -> tuple[Wire, ...]:
        """How to reach it, in the order to try."""
        if self.command is not None:
            return ("stdio",)
        if said := self.type or self.transport:
            return (WIRES[said],)
        assert self.url is not None
        return ("sse", "http") if self.url.rstrip("/").endswith("/sse") else ("http", "sse")

    def environment(self) -> dict[str, str]:
        """The whole environment of a stdio server."""
        passed = {name: os.environ[name] for name in (*INHERITED, *self.inherit_env) if name in os.environ}
        return {name: value for name, value in passed.items() if not value.startswith("()")} | self.env

    def identity(self) -> str:
        """What its pins belong to: another command or address is another server."""
        return self.url or "\0".join((self.command or "", *self.args))

    def approval_of(self, tool: str, read_only: bool, default: Approval) -> Approval:
        """tool: the server's own name for it. read_only: what the server says of it."""
        if isinstance(self.approval, str):
            return self.approval
        if (stated := self.approval.get(tool)) is not None:
            return stated
        if self.trust_annotations and read_only:
            return "auto"
        return self.approval.get("*", default)


def read_config(config: Mapping[str, Any] | str | Path) -> dict[str, McpServerConfig]:
    """Servers by name. config: the object with `mcpServers`, what is inside it, or the path of a JSON file with either.

    Raises UserError that names the server and the key.
    """
    if isinstance(config, str | Path):
        try:
            raw = json.loads(Path(config).read_text("utf-8"))
        except OSError as e:
            raise UserError(f"{config}: {e.strerror}") from e
        except ValueError as e:
            raise UserError(f"{config} is not JSON: {e}") from e
        where = f"{config}: "
    else:
        raw, where = config, ""
    servers = raw.get("mcpServers", raw) if isinstance(raw, Mapping) else None
    if not isinstance(servers, Mapping):
        raise UserError(f'{where}an MCP config is an object {{"mcpServers": {{"NAME": {{"command": ...}}}}}}')
    if servers is not raw and (extra := [key for key in raw if key != "mcpServers"]):
        raise UserError(f"{where}unknown key {extra[0]!r} beside mcpServers")
    found = {}
    for name, entry in servers.items():
        try:
            found[name] = _server(entry)
        except UserError as e:
            raise UserError(f"{where}MCP server {name!r}: {e}", param=e.param) from e
    return {name: server for name, server in found.items() if not server.disabled}


def _server(entry: Any) -> McpServerConfig:
    if not isinstance(entry, Mapping):
        raise UserError(f"its settings must be an object, got {entry!r}")
    keys = McpServerConfig.__struct_fields__
    for key in entry:
        if key in ELSEWHERE:
            raise UserError(f"unknown key {key!r}; here it is {ELSEWHERE[key]}", param=key)
        if key not in keys:
            close = difflib.get_close_matches(str(key), keys, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "the keys are " + ", ".join(keys)
            raise UserError(f"unknown key {key!r}; {hint}", param=str(key))
    try:
        return msgspec.convert(_expand(dict(entry)), McpServerConfig)
    except msgspec.ValidationError as e:
        raise UserError(str(e)) from e


def _expand(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", _variable, value)
    if isinstance(value, Mapping):
        return {key: _expand(item) for key, item in value.items()}
    return [_expand(item) for item in value] if isinstance(value, list | tuple) else value


def _variable(match: re.Match[str]) -> str:
    name, default = match.groups()
    found = os.environ.get(name, default)
    if found is None:
        raise UserError(f"${{{name}}}: there is no such variable in the environment")
    return found
