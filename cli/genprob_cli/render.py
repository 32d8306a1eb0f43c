"""How answers look: tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import IO, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

_PIPED = 240


def show(view: Any, file: IO[str]) -> None:
    """Prints text, or whatever rich renders: wrapped on a terminal, one line per row and no colour when piped."""
    if file.isatty():
        Console(file=file, highlight=False, emoji=False, markup=False).print(view)
        return
    page = StringIO()
    Console(file=page, width=_PIPED, highlight=False, emoji=False, markup=False).print(view)
    print(*(line.rstrip() for line in page.getvalue().splitlines()), sep="\n", file=file, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """Rows under headings; numbers with four significant digits, aligned to the right where a column is numeric."""
    rows = [list(row) for row in rows]
    out = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[place], (int, float)) or row[place] is None for row in rows)
        out.add_column(name, justify="right" if numeric else "left", header_style="bold", no_wrap=numeric)
    for row in rows:
        out.add_row(*(Text(cell(value)) for value in row))
    return out


def cell(value: Any) -> str:
    """One value as text: four significant digits, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def stack(*parts: Any) -> Group:
    """Several views one under the other; None is left out."""
    return Group(*(Text(part) if isinstance(part, str) else part for part in parts if part is not None))
