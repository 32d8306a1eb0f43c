"""Write docs/benchmarks/NAME.md: what was measured, how to measure it again, and on what."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"

Cell = str | float | int | None


def write(
    name: str,
    title: str,
    text: str,
    rows: Sequence[Mapping[str, Cell]],
    seed: int,
    packages: Sequence[str] = ("torch", "numpy"),
    notes: Sequence[str] = (),
) -> Path:
    """Write one page and print its table. Rows are mappings from column to cell; the first row names the columns."""
    table = markdown(rows)
    bullets = [
        f"Command: `python -m benchmarks.{name}`, seed {seed}.",
        f"Versions: {versions(packages)}.",
        f"Machine: {os.cpu_count()} cores ({platform.machine()}), no accelerator.",
        *notes,
    ]
    page = f"# {title}\n\n{text}\n\n{table}\n\n" + "\n".join(f"- {bullet}" for bullet in bullets) + "\n"
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.md"
    path.write_text(page, encoding="utf-8")
    print(f"\n{title}\n\n{table}\n", flush=True)
    return path


def markdown(rows: Sequence[Mapping[str, Cell]]) -> str:
    """A Markdown table; numbers are given three significant digits or so."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a page's table as they stand, so that what is not run anew is kept; none where there is no page."""
    path = FOLDER / f"{name}.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(table[0], cells, strict=True)) for cells in table[2:]] if table else []


def notes_of(name: str) -> list[str]:
    """The notes of a page as they stand, without their bullets; none where there is no page."""
    path = FOLDER / f"{name}.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def versions(packages: Sequence[str]) -> str:
    """`Python 3.11.7, genprob 0.1.0, ...`."""
    found = [f"Python {platform.python_version()}"]
    for package in ("genprob", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (not installed)")
    return ", ".join(found)


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.2g}"
