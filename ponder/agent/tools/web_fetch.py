"""Fetch a page and read it as text. Only public addresses: every hop is resolved here, checked, and connected to by the
very address that was checked (SSRF; a name that answers differently the second time gains nothing).
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
from typing import Any
from urllib.parse import urljoin, urlsplit

from ponder.agent.tools.html_text import html_text
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError

HOPS = 5
BYTES = 5_000_000
REDIRECTS = (301, 302, 303, 307, 308)
TEXTUAL = ("text/", "application/json", "application/xml", "application/xhtml", "application/javascript")
# Of IANA's special-purpose addresses those that Python's tables are too old for, or call reachable: 192.0.0.0/24 holds
# the metadata service of a cloud, 168.63.129.16 is another's, 192.88.99.0/24 was 6to4's, 2001::/23 is of protocols.
SPECIAL = [
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
]
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # nothing else is given to hosts of the internet
# An IPv4 address in the last 32 bits: compatible, SIIT, NAT64; ISATAP has it behind 0:5efe or 200:5efe. (Mapped, 6to4
# and Teredo are known to Python.)
WRAPPING = [ipaddress.IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]


class WebFetch(Tool):
    """allow_private: hosts of this machine and its network too, for who serves pages there. chars: of one result."""

    name = "web_fetch"
    description = "Fetch a web page by its URL and return its text. Long pages come in parts: ask on with start."

    def __init__(self, *, allow_private: bool = False, chars: int = 12_000, seconds: float = 30.0) -> None:
        self.allow_private, self.chars, self.timeout = allow_private, chars, seconds
        url = {"type": "string", "description": "http or https"}
        start = {"type": "integer", "description": "first character of the text to return", "default": 0}
        self.parameters = {"type": "object", "properties": {"url": url, "start": start}, "required": ["url"]}

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        start = arguments.get("start", 0)
        if not isinstance(start, int) or start < 0:
            raise UserError(f"start must be a whole number from 0, got {start!r}")
        seconds = self.timeout or 30.0
        url, kind, body = await asyncio.to_thread(get, str(arguments["url"]), seconds, self.allow_private)
        text = html_text(body) if "html" in kind else body
        part = text[start : start + self.chars]
        if not part:
            raise UserError(f"the text of {url} has {len(text):,} characters, none from {start:,}")
        left = len(text) - start - len(part)
        more = f"\n[{left:,} characters more: start={start + len(part)}]" if left else ""
        return Output(f"{url}\n\n{part}{more}")


def get(url: str, seconds: float, allow_private: bool) -> tuple[str, str, str]:
    """(final URL, content type, text). Raises UserError for what cannot or may not be fetched."""
    for _ in range(HOPS + 1):
        response, connection = _request(url, seconds, allow_private)
        try:
            if response.status in REDIRECTS and (target := response.getheader("Location")):
                url = _joined(url, target)
                continue
            kind = response.getheader("Content-Type", "text/html").lower()
            if response.status >= 400:
                raise UserError(f"{url} answered {response.status} {response.reason}")
            if not kind.startswith(TEXTUAL):
                raise UserError(f"{url} is {kind.split(';')[0]}, not a text")
            body = response.read(BYTES + 1)
            if len(body) > BYTES:
                raise UserError(f"{url} is larger than {BYTES // 1_000_000} MB")
            return url, kind, body.decode(_charset(kind), "replace")
        except (OSError, http.client.HTTPException) as e:
            raise UserError(f"{url} broke off: {e or type(e).__name__}") from e
        finally:
            connection.close()
    raise UserError(f"more than {HOPS} redirects, the last to {url}")


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError as e:
        raise UserError(f"{url} leads to {target!r}, which is no URL: {e}") from e


def _request(
    url: str, seconds: float, allow_private: bool
) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise UserError(f"{url!r} is no URL: {e}") from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no http or https URL")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname.encode("idna").decode()
    except ValueError as e:
        raise UserError(f"{url!r} is no URL: {e}") from e
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
    except http.client.InvalidURL as e:
        raise UserError(f"{url!r} is no URL: {e}") from e
    try:
        plain = _connect(host, port, seconds, allow_private)
        secure = parts.scheme == "https"
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        connection.putrequest("GET", path.replace(" ", "%20"), skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc.rpartition("@")[2])
        connection.putheader("User-Agent", "ponder")
        connection.putheader("Accept", "text/html,text/*;q=0.9,application/json;q=0.8")
        connection.endheaders()
        return connection.getresponse(), connection
    except (OSError, http.client.HTTPException, UnicodeEncodeError) as e:
        connection.close()
        raise UserError(f"{url} cannot be reached: {e or type(e).__name__}") from e


def _connect(host: str, port: int, seconds: float, allow_private: bool) -> socket.socket:
    """A connection to the first address that is allowed and answers. Every address of the name must be allowed."""
    found = [a[4][0] for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    addresses = [str(a) for a in dict.fromkeys(found)]
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise UserError(f"{host} is {address}, which is not a public address; it is not fetched")
    error: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), seconds)
        except OSError as e:
            error = e
    raise error or OSError(f"{host} has no address")


def is_public(address: str) -> bool:
    """Globally reachable, also where an IPv6 address wraps an IPv4 one."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        teredo = ip.teredo
        isatap = int(ip) >> 32 & 0xFDFFFFFF == 0x5EFE
        wrapped = isatap or any(ip in prefix for prefix in WRAPPING)
        inner = ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else None)
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if wrapped else inner
        if inner is not None:
            return is_public(str(inner))
        if ip not in GLOBAL_UNICAST:
            return False
    if any(ip in network for network in SPECIAL if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast


def _charset(kind: str) -> str:
    name = kind.partition("charset=")[2].split(";")[0].strip("\"' ") or "utf-8"
    try:
        "".encode(name)
    except LookupError:
        return "utf-8"
    return name
