"""The text that `calibrate.py` rounds weights for: a file of the user's, or what every Python brings along.

The default is half the reference of the language (pydoc_data, English prose about code) and half sources of the
library, cut at places of a fixed seed: nothing to ship, and nothing of quality.txt, which measures the result.
"""

import json
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.model.quantise.quality import read_text
from ponder.text.tokenizer.tokenizer import Tokenizer

WINDOWS, LENGTH = 16, 512  # of the default text
MOST = 64  # windows of a file
_CUT = 5000  # characters that hold a window


def calibration_ids(tokenizer: Tokenizer, path: Path | None, windows: int = WINDOWS) -> NDArray[np.int32]:
    """-> [windows, LENGTH]. path: a UTF-8 text, cut into as many windows as it fills; None: the default text.

    Raises UserError for a file that cannot be read or does not fill one window.
    """
    if path is None:
        return _of_python(tokenizer, windows)
    ids, _ = read_text(tokenizer, path)
    count = min(MOST, len(ids) // LENGTH)
    if not count:
        raise UserError(f"{path}: {len(ids)} tokens are too few to calibrate on; give at least {LENGTH}", param="text")
    return ids[: count * LENGTH].reshape(count, LENGTH)


def _of_python(tokenizer: Tokenizer, windows: int) -> NDArray[np.int32]:
    library = Path(json.__file__).parents[1]
    pools = [
        [text for _, text in sorted(topics.items())],
        [file.read_text("utf-8") for file in sorted(library.glob("[a-z]*.py"))],
    ]
    pools = [[text for text in pool if len(text) > _CUT] for pool in pools]
    rng, out = np.random.default_rng(0), list[list[int]]()
    while len(out) < windows:
        pool = pools[len(out) % 2]
        text = pool[rng.integers(len(pool))]
        at = int(rng.integers(len(text) - _CUT + 1))
        ids = tokenizer.encode(text[at : at + _CUT])[:LENGTH]
        if len(ids) == LENGTH:
            out.append(ids)
    return np.array(out, np.int32)
