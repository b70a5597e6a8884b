"""How results show themselves: as text in a console, as a table in a notebook."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# More rows would push what a person wrote out of sight; the whole lies in the result's table.
ROWS_SHOWN = 20
# Notebooks align cells to the right, as numbers are.
_LEFT = ' style="text-align: left"'
_KILO = 1000


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What is shown of a result.

    Attributes:
        summary: one line.
        header: names of the columns.
        rows: the cells, of which the first `ROWS_SHOWN` are shown.
        total: how many rows there are, where `rows` holds the first ones alone.
    """

    summary: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: int = 0

    def to_text(self) -> str:
        """Plain text, columns aligned."""
        table = [[_one_line(cell) for cell in row] for row in (self.header, *self.rows[:ROWS_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        return "\n".join([self.summary, *(f"  {line}" for line in lines), *self._rest()])

    def to_html(self) -> str:
        """An HTML table; every text in it is escaped."""
        head = "".join(f"<th{_LEFT}>{escape(name)}</th>" for name in self.header)
        rows = [
            "<tr>" + "".join(f"<td{_LEFT}>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows[:ROWS_SHOWN]
        ]
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._rest())
        return f"<div><p>{escape(self.summary)}</p>{table}{notes}</div>"

    def _rest(self) -> list[str]:
        hidden = max(self.total, len(self.rows)) - min(len(self.rows), ROWS_SHOWN)
        return [f"... and {hidden:,} more rows"] if hidden else []


class Displayed(ABC):
    """A result that shows itself: `repr` in a console, HTML in a notebook."""

    @abstractmethod
    def _panel(self) -> Panel:
        """What is shown."""

    def __repr__(self) -> str:
        return self._panel().to_text()

    def _repr_html_(self) -> str:
        return self._panel().to_html()


def number_in_words(name: str, value: float) -> str:
    """A metric as a person reads it; the end of its name says the unit: bytes, degrees, a fraction of one."""
    if name.endswith("_bytes"):
        return bytes_in_words(value)
    if name.endswith("_degrees"):
        return f"{value:.2f}°"
    if name.endswith("_fraction"):
        return percent(value)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def bytes_in_words(count: float) -> str:
    """134515008 as 134.5 MB: powers of 1000, as disks are sold."""
    for unit in ("bytes", "kB", "MB"):
        if count < _KILO:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} GB"


def percent(fraction: float) -> str:
    """0.1234 as 12.3%."""
    return f"{100 * fraction:.1f}%"


def cut(text: str, characters: int) -> str:
    """The text in one line, at most so many characters of it."""
    line = _one_line(text)
    return line if len(line) <= characters else f"{line[: characters - 3]}..."


def _one_line(text: str) -> str:
    return " ".join(text.split())
