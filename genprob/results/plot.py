"""Pictures of an answer and of a fit: PNG, SVG or PDF by the name of the file; no display, no global state."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob import atomic
from genprob.errors import UsageError
from genprob.results.plot_sheet import sheet
from genprob.results.summary import evidence_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("marginals", "pairs", "chains", "sheet")
_ANSWER, _PRIOR, _INK = "#2a6fbb", "#b9b9b9", "#333333"
_PANELS = 24
_FORMATS = ("png", "svg", "pdf")


def plot(tree: xr.DataTree, out: str | Path, kind: str | None = None, query: int = 0) -> Path:
    """Draws an answer.

    Arguments:
        tree: an answer; where it holds a `prior`, each target is shown before and after the evidence.
        out: the picture; `.png`, `.svg` or `.pdf`.
        kind: `marginals` (default): one panel per target; `pairs`: the draws of each pair of scalar targets;
            `sheet`: image targets, what was known of them, their mean, deviations and draws;
            `chains`: the draws of each chain in order.
        query: which query of a batch.

    Raises `UsageError` for an unknown kind or format, a query that is not there, or nothing to draw.
    """
    kind = kind or "marginals"
    if kind not in KINDS:
        raise UsageError(f"plot kind {kind!r} is not one of: {', '.join(KINDS)}")
    if "posterior" not in tree.children:
        raise UsageError("only an answer can be plotted: this file has no posterior")
    posterior = tree["posterior"].to_dataset()
    batch = posterior.sizes.get("query")
    if batch is not None:
        if not 0 <= query < batch:
            raise UsageError(f"query {query} is not one of the {batch} in the answer (0 to {batch - 1})")
        posterior = posterior.isel(query=query)
    prior = tree["prior"].to_dataset() if "prior" in tree.children else None
    draw = {"marginals": _marginals, "pairs": _pairs, "chains": _chains, "sheet": sheet}[kind]
    figure = draw(posterior, prior)
    _title(figure, tree, None if batch is None else query)
    return save(figure, Path(out))


def plot_history(events: Sequence[Mapping[str, Any]], out: str | Path, title: str = "") -> Path:
    """Draws the metrics of a fit over its steps, one panel per metric. `UsageError` if there are none."""
    names = [n for n in dict.fromkeys(k for e in events for k in e) if n not in ("step", "time", "phase")]
    series = {}
    for name in names:
        points = [(e["step"], float(e[name])) for e in events if _is_number(e.get(name))]
        if len(points) > 1:
            series[name] = np.array(points)
    if not series:
        raise UsageError("the fit has logged no metric twice yet, so there is nothing to plot")
    figure, panels = new_panels(len(series))
    for axes, (name, points) in zip(panels, series.items(), strict=True):
        axes.plot(points[:, 0], points[:, 1], color=_ANSWER, linewidth=1.4)
        axes.set_title(name, fontsize=10, loc="left", color=_INK)
        axes.set_xlabel("step", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left", color=_INK)
    return save(figure, Path(out))


def _marginals(posterior: xr.Dataset, prior: xr.Dataset | None) -> Figure:
    names = [str(name) for name in posterior.data_vars][:_PANELS]
    count = sum(2 if _is_map(posterior[name]) else 1 for name in names)
    figure, panels = new_panels(count)
    free = iter(panels)
    for name in names:
        draws = posterior[name]
        before = None if prior is None or name not in prior else prior[name].values
        if _is_map(draws):
            _map(figure, next(free), draws, f"{name}: mean", np.mean)
            _map(figure, next(free), draws, f"{name}: sd", np.std)
            continue
        axes = next(free)
        unit = draws.attrs.get("units")
        axes.set_title(f"{name} [{unit}]" if unit else name, fontsize=10, loc="left", color=_INK)
        if draws.values.ndim > 2:
            _bands(axes, draws)
        elif draws.dtype.kind in "OUST":
            _bars(axes, draws.values, before, draws.attrs.get("levels"))
        elif draws.dtype.kind in "iub" and len(np.unique(draws.values)) <= 30:
            _masses(axes, draws.values, before)
        else:
            _densities(axes, draws.values, before)
    return figure


def _densities(axes: Axes, draws: np.ndarray, before: np.ndarray | None) -> None:
    """Histograms on common edges, so that the two can be compared."""
    after, prior = _numbers(draws), None if before is None else _numbers(before)
    if not after.size:
        axes.text(0.5, 0.5, "no draws", transform=axes.transAxes, ha="center")
        return
    pooled = after if prior is None else np.concatenate([after, prior])
    lo, hi = np.quantile(pooled, [0.002, 0.998])
    if lo == hi:
        lo, hi = lo - 0.5, hi + 0.5
    # The finer of the two widths (Freedman and Diaconis, 1981), within what a panel can show.
    width = 2 * np.subtract(*np.quantile(after, [0.75, 0.25])) / max(after.size, 1) ** (1 / 3)
    bins = int(np.clip((hi - lo) / width, 12, 80)) if width > 0 else 40
    edges = np.linspace(lo, hi, bins + 1)
    if prior is not None:
        axes.hist(prior, edges, density=True, color=_PRIOR, alpha=0.6, label="before")
    axes.hist(after, edges, density=True, color=_ANSWER, alpha=0.55, label="given the evidence")
    axes.hist(after, edges, density=True, color=_ANSWER, histtype="step", linewidth=1.2)
    low, high = np.quantile(after, [0.05, 0.95])
    axes.plot([low, high], [0, 0], color=_INK, linewidth=3, solid_capstyle="butt", clip_on=False)
    axes.set_yticks([])
    if draws.dtype.kind == "M":
        _date_axis(axes)
    _legend(axes, prior is not None)


def _bars(axes: Axes, draws: np.ndarray, before: np.ndarray | None, levels: Any) -> None:
    """Shares of the labels, in the order of the levels; of many, the likeliest."""
    after, prior = _shares(draws), {} if before is None else _shares(before)
    named = [str(level) for level in levels] if levels is not None else sorted(after | prior)
    if len(named) > 20:
        named = sorted(named, key=lambda label: -after.get(label, 0.0))[:20]
    _side_by_side(axes, named, after, prior if before is not None else None)


def _masses(axes: Axes, draws: np.ndarray, before: np.ndarray | None) -> None:
    after, prior = _shares(draws), {} if before is None else _shares(before)
    numbers = sorted({int(float(label)) for label in after | prior})
    _side_by_side(axes, [str(n) for n in numbers], after, prior if before is not None else None)


def _side_by_side(axes: Axes, labels: list[str], after: dict[str, float], prior: dict[str, float] | None) -> None:
    place = np.arange(len(labels))
    width = 0.8 if prior is None else 0.4
    if prior is not None:
        axes.bar(place - width / 2, [prior.get(x, 0.0) for x in labels], width, color=_PRIOR, label="before")
    shift = 0.0 if prior is None else width / 2
    axes.bar(place + shift, [after.get(x, 0.0) for x in labels], width, color=_ANSWER, label="given the evidence")
    crowded = sum(map(len, labels)) > 40
    shown = [textwrap.shorten(label, 18, placeholder="...") for label in labels]
    axes.set_xticks(place, shown, rotation=40 if crowded else 0, ha="right" if crowded else "center", fontsize=8)
    axes.set_ylabel("probability", fontsize=9)
    axes.margins(y=0.3 if prior is not None else 0.05)  # room for the legend
    _legend(axes, prior is not None)


def _map(figure: Figure, axes: Axes, draws: xr.DataArray, title: str, statistic: Any) -> None:
    values = statistic(np.asarray(draws.values, dtype=float), axis=(0, 1))
    image = axes.imshow(values, cmap="gray" if statistic is np.mean else "viridis", interpolation="nearest")
    axes.set_title(title, fontsize=10, loc="left", color=_INK)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)


def _bands(axes: Axes, draws: xr.DataArray) -> None:
    """A series (or any other array, laid out flat): median and 90 % band at each place."""
    flat = np.asarray(draws.values, dtype=float).reshape(draws.shape[0] * draws.shape[1], -1)
    low, middle, high = np.quantile(flat, [0.05, 0.5, 0.95], axis=0)
    place = np.arange(flat.shape[1])
    axes.fill_between(place, low, high, color=_ANSWER, alpha=0.25, linewidth=0, label="90 %")
    axes.plot(place, middle, color=_ANSWER, linewidth=1.4, label="median")
    axes.set_xlabel(", ".join(map(str, draws.dims[2:])), fontsize=9)
    _legend(axes, True)


def _pairs(posterior: xr.Dataset, prior: xr.Dataset | None) -> Figure:
    scalars = {str(n): v for n, v in posterior.data_vars.items() if v.ndim == 2 and v.dtype.kind in "iufM"}
    names = list(scalars)[:6]
    if len(names) < 2:
        raise UsageError("plot kind 'pairs' needs two scalar numeric targets; ask the query for them")
    figure, panels = new_panels(len(names) ** 2, columns=len(names), size=2.1)
    for index, axes in enumerate(panels):
        row, column = divmod(index, len(names))
        x, y = _numbers(scalars[names[column]].values), _numbers(scalars[names[row]].values)
        if row == column:
            axes.hist(x, 30, color=_ANSWER, alpha=0.7)
            axes.set_yticks([])
        elif row > column:
            if prior is not None and names[row] in prior and names[column] in prior:
                u, v = _numbers(prior[names[column]].values), _numbers(prior[names[row]].values)
                axes.plot(u, v, ".", color=_PRIOR, markersize=2, alpha=0.5)
            axes.plot(x, y, ".", color=_ANSWER, markersize=2.5, alpha=0.5)
        else:
            axes.set_axis_off()
        if row == len(names) - 1:
            axes.set_xlabel(names[column], fontsize=9)
        if column == 0 and row:
            axes.set_ylabel(names[row], fontsize=9)
    return figure


def _chains(posterior: xr.Dataset, _: xr.Dataset | None) -> Figure:
    scalars = {str(n): v for n, v in posterior.data_vars.items() if v.ndim == 2 and v.dtype.kind in "iufM"}
    if not scalars:
        raise UsageError("plot kind 'chains' needs a scalar numeric target; ask the query for one")
    names = list(scalars)[:_PANELS]
    figure, panels = new_panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        for chain in scalars[name].values:
            axes.plot(_numbers(chain), linewidth=0.7, alpha=0.8)
        axes.set_title(name, fontsize=10, loc="left", color=_INK)
        axes.set_xlabel("draw", fontsize=9)
    return figure


def new_panels(count: int, columns: int | None = None, size: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels in rows, and nothing in pyplot's hands."""
    from matplotlib.figure import Figure

    columns = columns or min(count, max(2, math.ceil(math.sqrt(count * 1.3))), 6)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(size * columns, 5.0), size * 0.8 * rows + 0.7), dpi=120, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).reshape(-1))
    for empty in axes[count:]:
        empty.set_axis_off()
    for panel in axes[:count]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    return figure, axes[:count]


def _title(figure: Figure, tree: xr.DataTree, query: int | None) -> None:
    evidence = evidence_of(tree, query) or {}
    known = ", ".join(
        f"{name} {text}" if text.startswith("in ") else f"{name} = {text}" for name, text in evidence.items()
    )
    of = {name: _of_query(tree, name, query) for name in ("strategy", "reliable", "reasons")}
    first = ("" if query is None else f"query {query}: ") + (f"given {known}" if known else "given nothing")
    why = of["reasons"] or "see its status"
    second = f"{of['strategy']}; " + ("reliable" if of["reliable"] == 1 else f"not known to be reliable: {why}")
    width = max(40, int(figure.get_size_inches()[0] * 13))
    lines = [textwrap.shorten(line, 2 * width, placeholder=" ...") for line in (first, second)]
    text = "\n".join(part for line in lines for part in textwrap.wrap(line, width))
    figure.suptitle(text.replace("$", r"\$"), fontsize=10, x=0.01, ha="left", color=_INK)


def _of_query(tree: xr.DataTree, name: str, query: int | None) -> Any:
    statistics = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else None
    if query is None or statistics is None or name not in statistics:
        return tree.attrs.get(name, "")
    return statistics[name].isel(query=query).values.item()


def save(figure: Figure, out: Path) -> Path:
    """Writes a figure whole or not at all; the ending of the name says the format."""
    form = out.suffix.lstrip(".").lower()
    if form not in _FORMATS:
        raise UsageError(f"{out}: pictures are written as .{', .'.join(_FORMATS)}")
    return atomic.write(out, lambda path: figure.savefig(path, format=form))


def _legend(axes: Axes, needed: bool) -> None:
    if needed:
        axes.legend(fontsize=7, frameon=False, loc="best")


def _date_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _is_map(draws: xr.DataArray) -> bool:
    return draws.ndim == 4 and draws.dtype.kind in "iufb"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Flat floats, the missing left out; dates in matplotlib's days since 1970."""
    if values.dtype.kind == "M":
        known = values[~np.isnat(values)]
        return known.astype("M8[us]").astype(np.int64) / 86_400e6
    flat = np.asarray(values, dtype=float).reshape(-1)
    return flat[np.isfinite(flat)]


def _shares(values: np.ndarray) -> dict[str, float]:
    known = [str(x) for x in values.reshape(-1).tolist() if x is not None and x == x and x != ""]
    labels, counts = np.unique(np.asarray(known, dtype=str), return_counts=True)
    return dict(zip(labels.tolist(), (counts / max(len(known), 1)).tolist(), strict=True))
