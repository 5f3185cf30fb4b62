"""Pages that are pictures: read by a vision model behind an endpoint, or by Tesseract where it is installed."""

import base64
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.extract.endpoint import Asked, Endpoint
from ponder.data.read.reading import ReadPage

PROMPT = (
    "Write down the text of this page exactly as it is printed, in its order of reading, columns one after the other, "
    "tables as rows with | between cells. Leave out titles and numbers of pages. Add nothing, explain nothing, "
    "translate nothing. If the page has no text, answer with nothing."
)
SECONDS = 120  # for Tesseract and a page


class Tesseract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    languages: str = "eng"
    """As Tesseract calls them: `eng+deu`."""


class Vision(Endpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that sees."""


Scans = Vision | Tesseract


def page_reader(scans: Scans, answers: Path) -> ReadPage:
    if isinstance(scans, Vision):
        asked = Asked(scans, answers)
        return lambda picture: _by_model(asked, picture)
    if shutil.which("tesseract") is None:
        raise UserError("scans are read by tesseract, which this system has not; or take by = model", param="scans")
    return lambda picture: _by_tesseract(scans, picture)


def _by_model(asked: Asked, picture: bytes) -> str | None:
    address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return asked.ask([{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": PROMPT}]) or None


def _by_tesseract(scans: Tesseract, picture: bytes) -> str | None:
    command = ["tesseract", "stdin", "stdout", "-l", scans.languages]
    try:
        done = subprocess.run(command, input=picture, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UserError(f"tesseract cannot read pages: {' '.join(said[-1:])}", param="scans")
    return done.stdout.decode("utf-8", "replace").strip() or None
