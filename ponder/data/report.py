"""What a run read, kept and left out, for programs and as one page of Markdown."""

from msgspec import Struct, field

from ponder.data.document import Document
from ponder.data.languages import languages
from ponder.data.steps.counts import SHOWN, SHOWN_CHARACTERS, Counts


class Share(Struct):
    documents: int = 0
    bytes: int = 0


class Report(Struct, kw_only=True):
    name: str
    sources: dict[str, Counts]
    """Before repeated documents were left out."""
    by_source: dict[str, Share] = field(default_factory=dict)
    """Of the text."""
    by_language: dict[str, Share] = field(default_factory=dict)
    """FLORES-200 code, or empty where nobody told."""
    by_label: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label -> value -> documents."""
    repetitions: dict[str, int] = field(default_factory=dict)
    """By source: documents that repeat an earlier one."""
    repeated_samples: list[tuple[str, str, str]] = field(default_factory=list)
    """(document, the earlier one, its beginning)"""
    joined: Counts = field(default_factory=Counts)
    """Of the steps that see all documents; mended are those that lost lines."""
    sha256: str = ""
    """Of the text."""

    def kept(self, document: Document) -> None:
        for shares, key in ((self.by_source, document.source), (self.by_language, document.language)):
            share = shares.setdefault(key, Share())
            share.documents += 1
            share.bytes += len(document.text.encode())
        for label, value in document.labels.items():
            values = self.by_label.setdefault(label, {})
            values[str(value)] = values.get(str(value), 0) + 1

    def repeated(self, document: Document, earlier: str) -> None:
        self.repetitions[document.source] = self.repetitions.get(document.source, 0) + 1
        if len(self.repeated_samples) < SHOWN:
            self.repeated_samples.append((document.origin, earlier, document.text[:SHOWN_CHARACTERS]))

    def total(self) -> Counts:
        total = Counts()
        for counts in (*self.sources.values(), self.joined):
            total.add(counts)
        return total


def markdown(report: Report) -> str:
    parts = [
        f"# {report.name}",
        _sources(report),
        _languages(report),
        _labels(report),
        _dropped(report),
        _models(report),
        _speed(report),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _sources(report: Report) -> str:
    rows = ["| source | files | read | documents | kept | repeated | in the text |", "|---|---|---|---|---|---|---|"]
    for name, counts in report.sources.items():
        share = report.by_source.get(name, Share())
        rows.append(
            f"| {name} | {counts.files:,} | {_size(counts.read_bytes)} | {counts.documents:,} | {counts.kept:,} | "
            f"{report.repetitions.get(name, 0):,} | {share.documents:,}, {_size(share.bytes)} |"
        )
    return "\n".join(rows)


def _languages(report: Report) -> str:
    known = {code: share for code, share in report.by_language.items() if code}
    rows = [
        f"{len(known)} of {len(languages())} languages, {sum(s.bytes >= 100_000 for s in known.values())} of them "
        "with 100 KB or more.",
        "",
        "| language | documents | bytes |",
        "|---|---|---|",
    ]
    for code, share in sorted(report.by_language.items(), key=lambda item: (-item[1].bytes, item[0])):
        name = f"{languages()[code].name} ({code})" if code else "not told"
        rows.append(f"| {name} | {share.documents:,} | {share.bytes:,} |")
    return "\n".join(rows)


def _labels(report: Report) -> str:
    rows = [f"| {label} | {', '.join(f'{value}: {n:,}' for value, n in sorted(values.items()))} |"
            for label, values in report.by_label.items()]  # fmt: skip
    return "\n".join(["| label | documents |", "|---|---|", *rows]) if rows else ""


def _dropped(report: Report) -> str:
    total = report.total()
    rows = ["| left out because | documents | for example |", "|---|---|---|"]
    rows += [f"| {rule} | {n:,} | {_cell(total.samples[rule][0])} |" for rule, n in _most(total.dropped)]
    if report.repeated_samples:
        document, earlier, text = report.repeated_samples[0]
        count = sum(report.repetitions.values())
        rows.append(f"| repeats an earlier one | {count:,} | {_cell(f'{document} repeats {earlier}: {text}')} |")
    scrubbed = ", ".join(f"{n:,} {kind}" for kind, n in _most(total.scrubbed)) or "nothing"
    unreadable = "".join(f"\n* {file}: {why}" for file, why in total.unreadable.items())
    told = (
        f"Mended: {total.mended - report.joined.mended:,} documents; {report.joined.mended:,} lost lines that others "
        f"have. Scrubbed: {scrubbed}. Files that cannot be read: {len(total.unreadable)}."
    )
    return "\n".join(rows) + f"\n\n{told}{unreadable}"


def _models(report: Report) -> str:
    """What models did, with some of each; empty without any."""
    total = report.total()
    parts = []
    for what, count in sorted(total.models.items()):
        shown = "\n\n".join(f"```text\n{text.replace('```', '')}\n```" for text in total.samples.get(what, ()))
        parts.append(f"By a model, {what}: {count:,}\n\n{shown}")
    return "\n\n".join(parts)


def _speed(report: Report) -> str:
    rows = ["| step | documents | documents a CPU-second | MB a CPU-second |", "|---|---|---|---|"]
    for step, work in report.total().work.items():
        if work.seconds > 0:
            speed = f"{work.documents / work.seconds:,.0f} | {work.bytes / work.seconds / 1e6:,.1f}"
            rows.append(f"| {step} | {work.documents:,} | {speed} |")
    return "\n".join(rows)


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _cell(text: str) -> str:
    return text[:100].replace("\n", " ").replace("|", "\\|")


def _size(n: int) -> str:
    return f"{n / 1e6:,.1f} MB" if n >= 1e6 else f"{n / 1e3:,.1f} KB"
