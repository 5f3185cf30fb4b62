"""The API reference, made from the docstrings: python docs/build_reference.py [FOLDER] (`make docs`).

Whatever pdoc warns of ends it: a type that does not resolve, a name that is exported and not there.
"""

import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pdoc.doc
import pdoc.render
from markdown_it import MarkdownIt

EXPORTS = ("ponder", "ponder.agent")
MODULES = (
    *EXPORTS,
    "ponder.core.message", "ponder.core.params", "ponder.core.request", "ponder.core.event", "ponder.core.turn",
    "ponder.core.protocol", "ponder.core.token_model", "ponder.core.sample", "ponder.core.errors",
    "ponder.engine.llm", "ponder.engine.chat", "ponder.engine.result", "ponder.engine.reply_stream",
    "ponder.engine.text_scores", "ponder.engine.load_options", "ponder.engine.remote", "ponder.engine.scripted",
    "ponder.engine.token_model",
    "ponder.text.tokenizer.tokenizer", "ponder.text.chat.render", "ponder.text.chat.parse",
    "ponder.sandbox.run", "ponder.tasks.base", "ponder.tasks.gym", "ponder.eval.run", "ponder.eval.settings",
    "ponder.train.stage", "ponder.train.loss", "ponder.kernels.ops", "ponder.model.config",
)  # fmt: skip


def main(folder: Path) -> None:
    warnings.simplefilter("error", UserWarning)
    for name in EXPORTS:
        module = import_module(name)
        for public in module.__all__:  # which are imported on first use
            setattr(module, public, getattr(module, public))
    pages = {name: pdoc.doc.Module(import_module(name)) for name in MODULES}
    pdoc.render.configure(docformat="markdown", show_source=False, footer_text="Ponder")
    for name, page in pages.items():
        file = folder / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(pdoc.render.html_module(page, all_modules=pages), "utf-8")
    (folder / "index.html").write_text(_index(pages), "utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(pages), "utf-8")
    print(f"{len(pages)} pages: {folder / 'index.html'}")


def _index(pages: Iterable[str]) -> str:
    """docs/reference.md, its modules linked: pdoc's own list has only what lies beside each other."""
    text = (Path(__file__).parent / "reference.md").read_text("utf-8")
    html = MarkdownIt().enable("table").render(text)
    for name in pages:
        link = f'<a href="{name.replace(".", "/")}.html">{name}</a>'
        html = html.replace(f"<td><code>{name}</code>", f"<td>{link}")
    style = "body {font: 16px/1.5 sans-serif; max-width: 60em; margin: 3em auto} td {padding: 0.2em 1em 0.2em 0}"
    return f'<!doctype html><meta charset="utf-8"><title>Ponder</title><style>{style}</style>{html}'


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[1] / "build" / "reference")
