"""What the operator of a server decides. `ponder serve --help` lists the same settings as flags."""

import ipaddress
import math
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from ponder.core.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ServerConfig(Struct, frozen=True, kw_only=True):
    """host, port: where to listen; another host than loopback needs api_keys, or open_access (SEC-6).
    api_keys: any of them opens the API. admin_keys: so do these, and they alone may pull and delete models, unless the
    server has no keys, no further names, and listens on this machine only. key_names: what keys are called.
    key_book: a file of further keys with names, roles and limits, which `ponder key` writes while the server runs.
    hosts: further names in the Host header that are ours (DNS rebinding).
    origins: web pages of other origins that may call us (CORS); none by default.
    strict: unknown request fields are an error instead of a warning (TH-6).
    queue: requests that may wait beyond those running; more get 429. timeout: seconds a request may run in all, None
    for no limit. keep_alive: seconds of silence after which a stream sends a comment (SR-5).
    max_body: bytes of a request body. linger: seconds that a reply of the web chat goes on when no page looks at it.
    drain: seconds that running requests have after SIGTERM. watchdog: seconds that a step of an engine may take before
    the process ends (SR-4). log_prompts: whether the log holds what people wrote.
    key_limit: requests that one API key may have running and waiting; None for an equal part of all there may be.
    keep_responses: bytes that kept replies of /v1/responses may take; 0 keeps none.
    restore_thoughts: bytes that thoughts may take, kept for clients that do not send them back (HC-4); 0 is off.
    reasoning_field: the name of the thoughts in OpenAI bodies (RS-3).
    root_path: below which a proxy shows this server, such as /ponder. ssl_certfile, ssl_keyfile: for HTTPS.
    forwarded_allow_ips: proxies that are believed.
    """

    host: str = "127.0.0.1"
    port: int = 11435
    api_keys: tuple[str, ...] = ()
    admin_keys: tuple[str, ...] = ()
    key_names: dict[str, str] = {}
    key_book: Path | None = None
    open_access: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    strict: bool = False
    queue: int = 64
    timeout: float | None = None
    keep_alive: float = 10.0
    max_body: int = 32 << 20
    linger: float = 10.0
    drain: int = 30
    watchdog: float = 300.0
    log_prompts: bool = False
    key_limit: int | None = None
    keep_responses: int = 256 << 20
    restore_thoughts: int = 0
    reasoning_field: str = "both"
    root_path: str = ""
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    forwarded_allow_ips: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Raises UserError for a value that would be accepted and mean nothing, or something else than it says."""
        booked = self.key_book is not None and self.key_book.exists()
        if self.host not in LOOPBACK and not self.api_keys and not booked and not self.open_access:
            raise UserError(
                f"listening on {self.host} lets others in: make a key (`ponder key create NAME`, or --api-key-file "
                "FILE), or say --no-auth to do without",
                param="host",
            )
        if not all((*self.api_keys, *self.admin_keys)):
            raise UserError("an API key is empty; it would let everybody in", param="api_key")
        named = [name for name in self.key_names.values() if name]
        if twice := [name for name in named if named.count(name) > 1]:
            raise UserError(f"two keys are called {twice[0]}: what one leaves here would be the other's", param="keys")
        least: dict[str, float] = {
            "port": 0, "queue": 0, "max_body": 1, "linger": 0, "drain": 0, "keep_responses": 0, "restore_thoughts": 0,
        }  # fmt: skip
        for name, low in least.items():
            if not (value := getattr(self, name)) >= low:
                raise UserError(f"--{name.replace('_', '-')} must be at least {low}, got {value}", param=name)
        if self.port > 65535:
            raise UserError(f"--port must be at most 65535, got {self.port}", param="port")
        for name, seconds in (("timeout", self.timeout), ("watchdog", self.watchdog)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise UserError(f"--{name} must be a number of seconds above 0, got {seconds}", param=name)
        if self.key_limit is not None and self.key_limit < 1:
            raise UserError(f"--key-limit must be at least 1, got {self.key_limit}", param="key_limit")
        for host in self.hosts:
            if not _is_host(host):
                raise UserError(
                    f"--allow-host {host!r} is no host name; give it without http:// and port", param="hosts"
                )
        for origin in self.origins:
            parts = urlsplit(origin)
            if origin != "null" and not (parts.netloc and origin == f"{parts.scheme}://{parts.netloc}"):
                raise UserError(
                    f"--allow-origin {origin!r} is no origin such as http://localhost:3000, without a path",
                    param="origins",
                )
        if self.root_path and not (self.root_path.startswith("/") and len(self.root_path.rstrip("/")) > 1):
            raise UserError(f"--root-path is a path such as /ponder, got {self.root_path!r}", param="root_path")
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise UserError("--ssl-certfile and --ssl-keyfile go together", param="ssl_certfile")
        for file in (self.ssl_certfile, self.ssl_keyfile):
            if file and not Path(file).is_file():
                raise UserError(f"there is no file {file}", param="ssl_certfile")
        if self.reasoning_field not in ("both", "reasoning_content", "reasoning", "none"):
            raise UserError("--reasoning-field is both, reasoning_content, reasoning or none", param="reasoning_field")


def _is_host(text: str) -> bool:
    """A name or an address as it stands in a Host header, without its port."""
    if ":" not in text:
        return bool(text) and urlsplit(f"//{text}").hostname == text.lower()
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
