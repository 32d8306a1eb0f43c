"""Answering: from a question as it was asked to the labelled answer, for one query or for a stream of rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from genprob.data.readers import read, read_chunks
from genprob.data.strangers import UNREAD, remark
from genprob.data.table import Table
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.query import roles, twins
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Draws
from genprob.query.evidence import wording
from genprob.query.planner import Planner
from genprob.query.strategy import PARTICLES
from genprob.results.answer import answer_tree
from genprob.results.file import open as open_result
from genprob.results.file import write
from genprob.results.join import join, uniform
from genprob.results.provenance import provenance
from genprob.results.stream import AnswerStream

if TYPE_CHECKING:
    from genprob.joint import Joint

PRIOR_DRAWS = 1000
"""Draws of the joint that go with the answer to a single query, to compare with."""


def of_rows(
    joint: Joint, rows: Any, targets: list[str] | None, draws: int, seed: int, strategy: str | None,
    budget: int | None, out: str | Path | None,
) -> xr.DataTree:  # fmt: skip
    """The answer to a batch of rows with holes or of mappings; see `Joint.query`."""
    rng = joint.rng(seed)
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        mappings = [_mapping(q, row) for q, row in enumerate(rows)]
        if not mappings:
            raise UsageError("rows=[]: there is no query")
        batch = roles.queries(joint, mappings, targets)
        if not batch.asked.any():
            raise UsageError("nothing is asked: every variable is given in every row")
        tree = answered(joint, batch, draws, rng, seed, strategy, budget, mappings, single=False)
        if out is not None:
            write(tree, out)
        return tree
    declared = not {*(targets or ())} <= {*joint.schema.names}
    if out is None:
        ds = read(rows, schema=joint.schema, allow_missing=True)
        values = Table.from_dataset(joint.schema, ds, allow_missing=True).values
        if declared:
            batch = roles.holes(joint, values, targets or ())
        else:
            batch = _holes(joint, values, _asked(joint, np.asarray(np.isnan(values).any(0)), targets))
        told = remark(ds.attrs.get(UNREAD, ()))
        return answered(joint, batch, draws, rng, seed, strategy, budget, None, single=False, told=told)
    if declared:
        raise UsageError("out= with rows= streams variables of the data; ask latents without it, and write the answer")
    missing = np.zeros(joint.schema.width, dtype=bool)
    for part, _ in _row_chunks(joint, rows, draws):
        missing |= np.isnan(part).any(0)
    asked = _asked(joint, missing, targets)
    with AnswerStream(out) as stream:
        for part, told in _row_chunks(joint, rows, draws):
            batch = _holes(joint, part, asked)
            stream.append(
                answered(joint, batch, draws, rng, seed, strategy, budget, None, single=False, streamed=True, told=told)
            )
    tree = open_result(out)
    assert isinstance(tree, xr.DataTree)
    return tree


def _row_chunks(joint: Joint, rows: Any, draws: int) -> Iterator[tuple[np.ndarray, str]]:
    """The cells of rows, part by part, each so long that its answer fits in memory, and what is to be said of them."""
    # Each part has its price in the file, and is cut further where it is worked out: few draws, long parts.
    size = max(joint.chunk(max(draws, PARTICLES)), joint.chunk(4 * draws))
    for ds in read_chunks(rows, size, schema=joint.schema, allow_missing=True):
        yield Table.from_dataset(joint.schema, ds, allow_missing=True).values, remark(ds.attrs.get(UNREAD, ()))


def _asked(joint: Joint, missing: np.ndarray, targets: list[str] | None) -> tuple[str, ...]:
    """The variables that are asked: those of `targets` (all if None) of which some row leaves something blank."""
    names = tuple(v.name for v in joint.schema if missing[joint.schema.slices[v.name]].any())
    if not names:
        raise UsageError("rows= has no holes, so nothing is asked; leave the cells that are asked blank")
    if targets is None:
        return names
    known = [name for name in targets if joint.schema[name].name not in names]
    if known or not targets:
        which = f"target {known[0]!r} is known in every row" if known else "no target"
        raise UsageError(f"{which}; blank cells are asked: {', '.join(names)}")
    return tuple(name for name in names if name in targets)


def _holes(joint: Joint, values: np.ndarray, names: tuple[str, ...]) -> QueryBatch:
    """One query a row, which asks what it leaves blank of the named variables."""
    if not len(values):
        raise UsageError("rows= holds no row: there is no query")
    batch = QueryBatch.from_values(joint.schema, values)
    wanted = np.zeros(joint.schema.width, dtype=bool)
    for name in names:
        wanted[joint.schema.slices[name]] = True
    return replace(batch, asked=batch.asked & wanted, names=names)


def answered(
    joint: Joint, batch: QueryBatch, draws: int, rng: Randomness, seed: int, strategy: str | None, budget: int | None,
    given: list[dict[str, Any]] | None, *, single: bool, audit: bool = False, streamed: bool = False, told: str = "",
) -> xr.DataTree:  # fmt: skip
    """The labelled answer to a batch of queries; `given` is the evidence as it was said, None for points of rows.

    A streamed one looks like every other part of its stream. What is `told` joins the reasons.
    """
    started = time.monotonic()
    beyond = roles.extended(batch, joint.schema)
    if beyond and audit:
        raise UsageError("audit=True plants variables of the data; this query names latents or parameters")
    planner = Planner(joint, strategy)
    batch = replace(batch, names=batch.targets)
    with running(rng), torch.no_grad():
        answers = [
            planner.answer(batch.take(part), draws, seed, budget, single=single)
            for part in joint.chunks(len(batch), max(budget or PARTICLES, draws))
        ]
        answer = uniform(join(answers), draws) if streamed else join(answers)
        if joint.run is not None and not joint.run.finished:
            stopped = f"fit: stopped at step {joint.run.step}, not finished; resume it"
            told = f"{stopped}; {told}" if told else stopped
        if told:
            answer = replace(answer, reasons=[f"{told}; {r}" if r else told for r in answer.reasons])
        if audit:
            like = np.random.default_rng([seed, 1])
            answer = twins.regrade(
                answer, twins.judge(joint, batch, strategy=answer.strategy[0], budget=budget, rng=like)
            )
    if single and not beyond and isinstance(joint.model, Draws):
        answer = replace(answer, prior=joint.draw(PRIOR_DRAWS, seed)[None])
    run = str(joint.run.path) if joint.run is not None else ""
    return answer_tree(
        replace(
            answer,
            seconds=time.monotonic() - started,
            given=None if given is None else [{k: wording(v) for k, v in row.items()} for row in given],
            provenance=provenance(seed=seed, run=run),
        )
    )


def _mapping(q: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise UsageError(f"rows[{q}] is {row!r}: a list of rows holds mappings {{variable: evidence}}")
    return dict(row)
