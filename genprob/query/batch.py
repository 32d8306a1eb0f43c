"""The query batch: evidence held per cell as arrays, so that image regions and time windows are masks, not syntax."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genprob.data.codec import encode
from genprob.data.coordinates import placed
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical
from genprob.errors import UsageError
from genprob.query.evidence import Equals, Evidence, Masked, OneOf, Soft, Within, as_evidence

NOTHING, POINT, RANGE, SET, NOISY, LIKELIHOOD = range(6)


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """Queries over one schema, flat columns in `schema.slices` order.

    Attributes:
        schema: the modelled variables.
        kind: `[queries, width]` int8, one of NOTHING, POINT, RANGE, SET, NOISY, LIKELIHOOD.
        a: `[queries, width]` the point, the lower end, or the reading; data units, category codes.
        b: `[queries, width]` the upper end, or the reading's standard deviation.
        sets: flat column -> `[queries, m]` allowed values (NaN pads) of SET on counts and cells.
        likelihoods: flat column -> `[queries, levels]` weights of SET and LIKELIHOOD on binaries and categories.
        asked: `[queries, width]` bool, the targets.
        names: the variables an answer is to hold, where more than `asked` says (part of a longer batch).
    """

    schema: Schema
    kind: np.ndarray
    a: np.ndarray
    b: np.ndarray
    asked: np.ndarray
    sets: dict[int, np.ndarray] = field(default_factory=dict)
    likelihoods: dict[int, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def targets(self) -> tuple[str, ...]:
        """Variables that some query asks, in schema order."""
        if self.names is not None:
            return self.names
        return tuple(v.name for v in self.schema if self.asked[:, self.schema.slices[v.name]].any())

    def take(self, index: np.ndarray | slice) -> QueryBatch:
        """The queries at these positions."""
        return replace(
            self,
            kind=self.kind[index],
            a=self.a[index],
            b=self.b[index],
            asked=self.asked[index],
            sets={c: s[index] for c, s in self.sets.items()},
            likelihoods={c: w[index] for c, w in self.likelihoods.items()},
        )

    def part(self, schema: Schema) -> QueryBatch:
        """What the queries say of the variables of `schema`, which come first in theirs."""
        if schema.width == self.schema.width:
            return self
        width, names = schema.width, self.names
        return replace(
            self,
            schema=schema,
            kind=self.kind[:, :width],
            a=self.a[:, :width],
            b=self.b[:, :width],
            asked=self.asked[:, :width],
            sets={c: s for c, s in self.sets.items() if c < width},
            likelihoods={c: w for c, w in self.likelihoods.items() if c < width},
            names=None if names is None else tuple(name for name in names if name in schema),
        )

    def only(self, keep: np.ndarray) -> QueryBatch:
        """The same queries knowing only the cells where `keep [queries, width]`."""
        return replace(self, kind=np.where(keep, self.kind, NOTHING).astype(np.int8))

    @classmethod
    def empty(cls, schema: Schema, queries: int) -> QueryBatch:
        """Queries that know nothing and ask nothing."""
        shape = (queries, schema.width)
        return cls(
            schema,
            np.zeros(shape, dtype=np.int8),
            np.full(shape, np.nan),
            np.full(shape, np.nan),
            np.zeros(shape, dtype=bool),
        )

    @classmethod
    def from_values(cls, schema: Schema, values: np.ndarray) -> QueryBatch:
        """One query a row of `[queries, width]`: known cells are given, NaN cells are asked."""
        known = ~np.isnan(values)
        batch = cls.empty(schema, len(values))
        return replace(batch, kind=np.where(known, POINT, NOTHING).astype(np.int8), a=values, asked=~known)

    @classmethod
    def from_evidence(
        cls, schema: Schema, rows: Sequence[Mapping[str, Any]], targets: Iterable[str] | None = None
    ) -> QueryBatch:
        """One query a mapping `{variable: evidence}`; `targets=None` asks every variable of which something is unknown.

        Raises `UsageError` for unknown variables, evidence that does not fit a support, contradictions, and targets
        that are given as well.
        """
        batch = cls.empty(schema, len(rows))
        for q, given in enumerate(rows):
            for name, value in given.items():
                variable = schema[name]
                _place(batch, q, variable, as_evidence(value))
        names = None if targets is None else list(targets)
        for name in names or []:
            columns = schema.slices[schema[name].name]
            clash = (batch.kind[:, columns] != NOTHING).all(1)
            if clash.any():
                raise UsageError(f"target {name!r} is also given; ask it or give it, not both")
            batch.asked[:, columns] = batch.kind[:, columns] == NOTHING
        if names is None:
            batch.asked[:] = batch.kind == NOTHING
        elif not names:
            raise UsageError("no target: name at least one variable to ask")
        return batch


def alike(queries: QueryBatch) -> Iterator[np.ndarray]:
    """Positions of queries that know the same kinds of evidence of the same columns, group by group."""
    if not len(queries):
        return
    if (queries.kind == queries.kind[0]).all():
        yield np.arange(len(queries))
        return
    _, which = np.unique(queries.kind, axis=0, return_inverse=True)
    which = which.reshape(-1)
    for group in range(int(which.max()) + 1):
        yield np.flatnonzero(which == group)


def _place(batch: QueryBatch, q: int, variable: Variable, evidence: Evidence) -> None:
    schema, columns = batch.schema, range(*batch.schema.slices[variable.name].indices(batch.schema.width))
    match evidence:
        case Equals(value):
            batch.kind[q, columns] = POINT
            batch.a[q, columns] = encode(schema, variable.name, value)
        case Masked(array, mask):
            dims, what = variable.dims, f"variable {variable.name!r}"
            array = placed(array, dims, schema.labels, f"{what}: the array")
            known = np.asarray(placed(mask, dims, schema.labels, f"{what}: the mask"), dtype=bool)
            if known.shape != variable.shape:
                raise UsageError(
                    f"variable {variable.name!r}: the mask has shape {known.shape}, the variable {variable.shape}"
                )
            values = np.where(known.reshape(-1), _masked_values(schema, variable, array, known), np.nan)
            batch.kind[q, columns] = np.where(known.reshape(-1), POINT, NOTHING)
            batch.a[q, columns] = values
        case Within(lo, hi):
            _place_range(batch, q, variable, columns, lo, hi)
        case OneOf():
            _place_set(batch, q, variable, columns, evidence.values)
        case Soft(value, sd):
            _place_soft(batch, q, variable, columns, value, sd)


def _masked_values(schema: Schema, variable: Variable, array: Any, known: np.ndarray) -> np.ndarray:
    given = np.asarray(array)
    if given.shape != variable.shape:
        raise UsageError(
            f"variable {variable.name!r}: the array has shape {given.shape}, the variable {variable.shape}"
        )
    filled = given.copy()
    if known.any():
        filled[~known] = given[known].reshape(-1)[0]  # what lies outside the mask need not be valid
    else:
        return np.full(variable.size, np.nan)
    return encode(schema, variable.name, filled)


def _place_range(batch: QueryBatch, q: int, variable: Variable, columns: range, lo: Any, hi: Any) -> None:
    if isinstance(variable.support, Categorical) and variable.support.ordered:
        _place_set(batch, q, variable, columns, _between(batch.schema, variable, variable.support, lo, hi))
        return
    if variable.cardinality is not None:
        raise UsageError(
            f"variable {variable.name!r} is {variable.support.kind}: give OneOf(...), not a range, for which its "
            "support would have to be ordinal(low,...,high)"
        )
    ends = [_number(batch.schema, variable, end) for end in (lo, hi)]
    low = ends[0] if lo is not None else -np.inf
    high = ends[1] if hi is not None else np.inf
    if low > high:
        raise UsageError(f"variable {variable.name!r}: the interval {lo}..{hi} is upside down")
    if low == high and not (variable.cell or variable.is_count):
        raise UsageError(
            f"variable {variable.name!r}: the interval {lo}..{hi} is a point, of probability zero; give the value"
        )
    probe_lo, probe_hi = low, high
    if variable.cell is not None:
        half_line = not np.isfinite([low, high]).all()
        edges = (0.0, np.inf) if half_line else variable.cell.span(np.array(low), np.array(high))
        if edges[1] - edges[0] < variable.cell.delta / 2:
            raise UsageError(
                f"variable {variable.name!r}: no value of its grid (step {variable.cell.delta:g}) lies in {lo}..{hi}"
            )
    elif variable.is_count:
        probe_lo, probe_hi = max(0.0, np.ceil(low)), np.floor(high)
    if probe_lo > probe_hi or not _meets(variable, probe_lo, probe_hi):
        raise UsageError(
            f"variable {variable.name!r}: the interval {lo}..{hi} has probability zero on its support, "
            f"{variable.support.text()}"
        )
    batch.kind[q, columns] = RANGE
    batch.a[q, columns], batch.b[q, columns] = low, high


def _between(schema: Schema, variable: Variable, support: Categorical, lo: Any, hi: Any) -> tuple[str, ...]:
    """The levels from `lo` to `hi`, both included; None leaves a side open."""
    first = 0 if lo is None else int(encode(schema, variable.name, lo)[0])
    last = len(support.levels) - 1 if hi is None else int(encode(schema, variable.name, hi)[0])
    if first > last:
        raise UsageError(
            f"variable {variable.name!r}: the range {lo}..{hi} is upside down; from low to high its levels are "
            f"{', '.join(support.levels)}"
        )
    return support.levels[first : last + 1]


def _meets(variable: Variable, low: float, high: float) -> bool:
    match variable.support.kind:
        case "positive":
            return high > 0 or (variable.cell is not None and high >= 0)
        case "interval":
            return high > variable.support.lo and low < variable.support.hi  # pyright: ignore
        case _:
            return high >= 0 or not variable.is_count


def _number(schema: Schema, variable: Variable, value: Any) -> float:
    """An end of a range, a reading: a number or a date, which need not lie in the support."""
    if value is None:
        return float("nan")
    if isinstance(value, float) and np.isinf(value):
        return value
    if variable.shape:
        if np.ndim(value):
            raise UsageError(
                f"variable {variable.name!r} is an array: an end or a reading is one number for all its cells"
            )
        value = np.full(variable.shape, value)
    return float(encode(schema, variable.name, value, inside=False)[0])


def _place_set(batch: QueryBatch, q: int, variable: Variable, columns: range, values: tuple[Any, ...]) -> None:
    if variable.size != 1:
        raise UsageError(f"variable {variable.name!r} is an array; sets are for scalars")
    coded = sorted({float(encode(batch.schema, variable.name, v)[0]) for v in values})
    if variable.cell is not None:  # two values of one cell are one member
        coded = np.unique(variable.cell.snap(np.array(coded))).tolist()
    column = columns[0]
    batch.kind[q, column] = SET
    if variable.cardinality is not None:
        weights = batch.likelihoods.setdefault(column, np.ones((len(batch), variable.cardinality)))
        weights[q] = np.isin(np.arange(variable.cardinality), coded)
    elif variable.is_count or variable.cell is not None:
        _pad_set(batch, column, len(coded))[q, : len(coded)] = coded
    else:
        raise UsageError(
            f"variable {variable.name!r} is a true real: a set of points has probability zero; give a range"
        )


def _pad_set(batch: QueryBatch, column: int, width: int) -> np.ndarray:
    old = batch.sets.get(column, np.full((len(batch), 0), np.nan))
    if old.shape[1] < width:
        old = np.concatenate([old, np.full((len(batch), width - old.shape[1]), np.nan)], axis=1)
    batch.sets[column] = old
    return old


def _place_soft(batch: QueryBatch, q: int, variable: Variable, columns: range, value: Any, sd: float | None) -> None:
    if isinstance(value, Mapping):
        if variable.cardinality is None:
            raise UsageError(f"variable {variable.name!r} is {variable.support.kind}: give Soft(value, sd=...)")
        if variable.size != 1:
            raise UsageError(f"variable {variable.name!r} is an array; likelihood vectors are for scalars")
        weights = np.zeros(variable.cardinality)
        for label, weight in value.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise UsageError(f"variable {variable.name!r}: the likelihood of {label!r} is {weight}, not >= 0")
            weights[int(encode(batch.schema, variable.name, label)[0])] = weight
        if not weights.any():
            raise UsageError(f"variable {variable.name!r}: every likelihood is zero")
        batch.kind[q, columns] = LIKELIHOOD
        batch.likelihoods.setdefault(columns[0], np.ones((len(batch), variable.cardinality)))[q] = weights
        return
    if variable.cardinality is not None:
        kind = "categorical" if isinstance(variable.support, Categorical) else "binary"
        raise UsageError(f"variable {variable.name!r} is {kind}: give Soft({{label: likelihood, ...}})")
    if sd is None or not (np.isfinite(sd) and sd > 0):
        raise UsageError(f"variable {variable.name!r}: Soft(value, sd=...) needs a standard deviation above zero")
    reading = _number(batch.schema, variable, value)
    if not np.isfinite(reading):
        raise UsageError(f"variable {variable.name!r}: a noisy reading of {value} says nothing; give a finite number")
    batch.kind[q, columns] = NOISY
    batch.a[q, columns] = reading
    batch.b[q, columns] = sd
