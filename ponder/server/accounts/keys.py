"""The keys of a server: how a file of them reads and what each is called where it must not be shown.

A file has one key a line, with a name before it or not: `alice: sk-...`. A name outlives its key: what alice has left
here is still hers when the line gets a new key.
"""

import hashlib
import re
import string

from ponder.core.errors import UserError

LEAST = 16  # characters of a key in a file
LINE = re.compile(r"(?:([\w.@-]+):\s+)?(\S+)(?:\s+#.*)?")
# a name without a blank behind it, and what belongs to the language of some other file
NO_KEY = re.compile(rf"[\w.@-]+(?::[^:]{{{LEAST},}}|=[^=]{{{LEAST},}}=*)|[\"'`].*|.*[\"'`,;]")
LETTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)  # that a header carries as they are


def parse(text: str, where: str) -> dict[str, str]:
    """key -> its name, "" for none. where: the file, for messages. Raises UserError with the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not (content := line.strip()) or content.startswith("#"):
            continue
        place = f"{where}, line {number}"
        if (parts := LINE.fullmatch(content)) is None:
            raise UserError(f"{place}: one key a line, with a name before it or not, as in `alice: KEY`", param="keys")
        name, key = parts[1] or "", parts[2]
        if not LETTERS.issuperset(key):
            raise UserError(f"{place}: a key is made of ASCII letters, digits and signs", param="keys")
        if NO_KEY.fullmatch(key):
            text = "a name is followed by a colon and a blank (`alice: KEY`), a key stands without quotes and commas"
            raise UserError(f"{place}: {text}", param="keys")
        if len(key) < LEAST:
            raise UserError(
                f"{place}: a key needs {LEAST} characters; `openssl rand -hex 24` makes a good one",
                param="keys",
            )
        if key in found:
            raise UserError(f"{place}: this key stands there twice; give everybody one of their own", param="keys")
        if name and name in found.values():
            raise UserError(f"{place}: the name {name} stands there twice; each key has its own", param="keys")
        found[key] = name
    if not found:
        raise UserError(f"{where}: there is no key in it", param="keys")
    return found


def client_names(keys: tuple[str, ...], names: dict[str, str]) -> dict[str, str]:
    """key -> what it is called: its name, or what cannot be turned back into it."""
    return {key: names.get(key) or hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys}
