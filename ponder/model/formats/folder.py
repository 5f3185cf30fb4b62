"""Small files beside the weights of an HF folder, read as text and JSON; nothing in them is ever executed."""

import json
import stat
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.core.fingerprint import is_stand_in


def read_file(path: Path, limit: int) -> bytes:
    """Raises FileNotFoundError when it is not there, OSError for more than `limit` bytes, and for a folder, a device or
    a pipe: opening one would wait for ever."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise OSError("not a regular file")
    if info.st_size > limit:
        raise OSError(f"larger than {limit >> 20} MB")
    return path.read_bytes()


def read_json(path: Path) -> dict[str, Any]:
    """{} when there is no such file. Raises LoadError when it is not a JSON object."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise LoadError(f"{path}: not readable as JSON: {is_stand_in(path) or e}") from e
    if not isinstance(value, dict):
        raise LoadError(f"{path}: not a JSON object")
    return value


def chat_template(folder: Path) -> str | None:
    """The folder's template text: chat_template.jinja, or the key of that name in tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8", errors="replace")
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template")
    if isinstance(template, list) and all(isinstance(part, dict) for part in template):  # several, by name
        template = {str(part.get("name")): part.get("template") for part in template}.get("default")
    return template_text(template, config)


def template_text(value: Any, where: Path) -> str | None:
    """Raises LoadError for a template that is no text."""
    if value is None or isinstance(value, str):
        return value
    raise LoadError(f"{where}: the chat template is not a text: {str(value)[:100]}")
