"""Files that people ask about: their text goes before the question, and pictures are refused with a word."""

import os
import re
from pathlib import Path

from ponder.core.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tiff", ".heic", ".svg")


def document(file: Path) -> str:
    """Its name and its text. Raises UserError for a file that cannot be read, a picture say."""
    if file.suffix.lower() in PICTURES:
        raise UserError(f"{file} is a picture, and these models cannot see; describe it in words", param="file")
    from ponder.agent.tools.doc_text import content, pages

    text = "\n\n".join(text for _, text in pages(file, content(file, None)))
    return f"[{file.name}]\n{text.strip()}"


def remark_on_files(prompt: str, attach: str = "ponder run -f {} ...") -> str:
    """What to know when the prompt begins with the name of a file, or names a picture; "" when it does neither.
    attach: how its text would be sent."""
    words = prompt[:10_000].split()
    pictures = [word for word in words if word.lower().endswith(PICTURES) and os.path.isfile(word)]
    if pictures:
        return f"{pictures[0]} is a picture: these models cannot see, and only its name is in the prompt"
    first = words[0] if words else ""
    if not re.search(r"[./]", first) or not os.path.isfile(first):  # a word that is by chance a file's name is a word
        return ""
    return f"{first} is a file here, but only its name is in the prompt; to send its text: {attach.format(first)}"
