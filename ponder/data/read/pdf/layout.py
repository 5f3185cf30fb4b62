"""The order in which the pieces of a page are read: columns one after the other, tables row by row.

A row is what stands side by side. Rows below each other in which the same strip stays empty are columns, or a table:
lines of columns reach to the strip, and cells of a table do not.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a line. Points from the left upper corner."""

    left: float
    top: float
    right: float
    bottom: float
    text: str


class Row(NamedTuple):
    top: float
    bottom: float
    pieces: tuple[Piece, ...]
    """From left to right."""

    @property
    def text(self) -> str:
        return " ".join(piece.text for piece in self.pieces)


Strip = tuple[float, float]
HYPHENS = "-\u2010\u00ad\u0002\ufffe"  # what the library gives for a hyphen at the end of a line
WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_LINE_END = re.compile(rf"(?<![{HYPHENS}])\n")

NARROW = 0.7  # of a line's height: an empty strip that divides is wider
FULL = 0.55  # share of a column's lines that reach its right edge
PARAGRAPH = 1.45  # of the usual distance of lines: a wider one begins a paragraph
CELL_ROW = 0.15  # of a line's height: so much more than the smallest gap of lines in a table begins a row
LEVEL = 0.25  # of a line's height: what reaches less into the line above is below it


def rows(pieces: Sequence[Piece]) -> list[Row]:
    """Pieces whose middles lie in each other's height, from top to bottom."""
    found: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: (p.top + p.bottom) / 2):
        if found and _beside(found[-1], piece):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [
        Row(min(p.top for p in row), max(p.bottom for p in row), tuple(sorted(row, key=lambda p: p.left)))
        for row in found
    ]


def _beside(row: Sequence[Piece], piece: Piece) -> bool:
    first = row[0]
    middle = (piece.top + piece.bottom) / 2
    return first.top <= middle <= first.bottom and middle - (first.top + first.bottom) / 2 < 0.5 * _height(first)


def blocks(page: Sequence[Row]) -> list[str]:
    """Paragraphs and tables, in order."""
    found: list[str] = []
    plain: list[Row] = []
    for group, strips in _groups(_bands(page)):
        if not strips:
            plain += rows(group[0].pieces)
            continue
        found += _paragraphs(plain)
        plain = []
        columns = [_between(group, *column) for column in _columns(strips)]
        if all(map(_is_prose, columns)):
            for column in columns:
                found += blocks(column)
        else:
            found.append(_table(group, strips))
    return found + _paragraphs(plain)


def _bands(page: Sequence[Row]) -> list[Row]:
    """Rows, those together that stand side by side at half heights: lines of columns, and of cells, may be so."""
    found: list[Row] = []
    for row in page:
        last = found[-1] if found else None
        if last is not None and last.bottom - row.top > LEVEL * (row.bottom - row.top) and _apart(last, row):
            found[-1] = Row(last.top, max(last.bottom, row.bottom), last.pieces + row.pieces)
        else:
            found.append(row)
    return found


def _apart(band: Row, row: Row) -> bool:
    """Whether nothing of the row stands in the same height and the same width as something of the band."""
    return not any(
        a.right > b.left and a.left < b.right and a.bottom - b.top > LEVEL * _height(b)
        for a in band.pieces
        for b in row.pieces
    )


def _groups(page: Sequence[Row]) -> Iterator[tuple[list[Row], list[Strip]]]:
    """Bands below each other that leave the same strips empty; those without any, one by one."""
    n = 0
    while n < len(page):
        end, strips = n + 1, _gaps(page[n])
        while end < len(page) and strips:
            common = _both(strips, page[end])
            if not common:
                break
            strips, end = common, end + 1
        group = list(page[n:end])
        while group and len(group[-1].pieces) == 1:  # lines below, of one column only, may be the text that follows
            group.pop()
        if strips and len(group) + len(group[0].pieces) > 3:
            yield group, strips
            n += len(group)
        else:
            yield [page[n]], []
            n += 1


def _gaps(row: Row) -> list[Strip]:
    """Strips between the pieces, from left to right."""
    found: list[Strip] = []
    pieces = sorted(row.pieces)
    edge = pieces[0].right
    for piece in pieces[1:]:
        if piece.left - edge >= NARROW * _height(piece):
            found.append((edge, piece.left))
        edge = max(edge, piece.right)
    return found


def _both(strips: Sequence[Strip], row: Row) -> list[Strip]:
    """What of the strips stays empty in this row too."""
    found = []
    for low, high in strips:
        middle = [p for p in row.pieces if p.right > low and p.left < high]
        for piece in middle:  # it may reach into the strip from one side
            low, high = (max(low, piece.right), high) if piece.left <= low else (low, min(high, piece.left))
        if high - low >= NARROW * _height(row.pieces[0]) and not any(p.left < low and p.right > high for p in middle):
            found.append((low, high))
    return found


def _columns(strips: Sequence[Strip]) -> list[Strip]:
    edges = [float("-inf"), *((low + high) / 2 for low, high in strips), float("inf")]
    return list(pairwise(edges))


def _between(group: Sequence[Row], low: float, high: float) -> list[Row]:
    return rows([p for row in group for p in row.pieces if low <= (p.left + p.right) / 2 < high])


def _is_prose(column: Sequence[Row]) -> bool:
    """A column of text: most of its lines reach its right edge."""
    if len(column) < 3:
        return False
    edge = max(row.pieces[-1].right for row in column)
    width = edge - min(row.pieces[0].left for row in column)
    full = sum(row.pieces[-1].right >= edge - 0.12 * width for row in column)
    return full >= FULL * len(column) and width >= 12 * _height(column[0].pieces[0])


def _table(group: Sequence[Row], strips: Sequence[Strip]) -> str:
    """A line for each row, ` | ` between cells; a cell of several lines is put together."""
    gaps = [b.top - a.bottom for a, b in pairwise(group)]
    near = min(gaps, default=0.0) + CELL_ROW * _height(group[0].pieces[0])
    one_line = max(gaps, default=0.0) <= near  # all the same: every line is a row
    table: list[list[str]] = []
    for n, band in enumerate(group):
        cells = ["\n".join(row.text for row in _between([band], *column)) for column in _columns(strips)]
        if n > 0 and (not cells[0] if one_line else gaps[n - 1] <= near):  # the row above goes on
            table[-1] = [f"{a}\n{b}" if a and b else a or b for a, b in zip(table[-1], cells, strict=True)]
        else:
            table.append(cells)
    # a word that was divided stays on two lines for now: only the whole text tells how it is spelled
    return "\n".join(" | ".join(_LINE_END.sub(" ", cell) for cell in cells) for cells in table)


def _paragraphs(lines: Sequence[Row]) -> list[str]:
    if not lines:
        return []
    distances = sorted(b.top - a.top for a, b in pairwise(lines) if b.top > a.top)
    usual = distances[len(distances) // 2] if distances else 0.0
    usual = min(usual, 1.6 * _height(lines[0].pieces[0])) if usual else 0.0
    found = [[lines[0]]]
    width = max(row.pieces[-1].right for row in lines) - min(row.pieces[0].left for row in lines)
    for above, line in pairwise(lines):
        if line.top - above.top > PARAGRAPH * usual or _height(line.pieces[0]) > 1.2 * _height(above.pieces[0]):
            found.append([])
        found[-1].append(line)
    return [_paragraph(paragraph, width) for paragraph in found]


def _paragraph(lines: Sequence[Row], width: float) -> str:
    """Lines of prose reach the edge and go on in the next one; those of a poem or a program end where they end."""
    right = max(row.pieces[-1].right for row in lines)
    own = right - min(row.pieces[0].left for row in lines)
    full = sum(row.pieces[-1].right >= right - 0.12 * own for row in lines[:-1])
    prose = own >= 0.6 * width and full >= 0.6 * (len(lines) - 1)
    text = lines[0].text
    for row in lines[1:]:
        text += _between_lines(text[-1], row.text[0]) if prose else "\n"
        text += row.text
    return text


def _between_lines(last: str, first: str) -> str:
    if last in HYPHENS:
        return "\n"
    return "" if WIDE.match(last) and WIDE.match(first) else " "


def _height(piece: Piece) -> float:
    return piece.bottom - piece.top
