"""Filling: rows whose holes are drawn given the rest of the row, and whether there is reason to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from genprob.data.batch import Batch
from genprob.query.paths import Paths, walk

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder


LEAST_CORRELATION = 0.15
LEAST_SCORE = 6.0
MOST_ROWS = 5000
"""Holes depend on a column where both are exceeded: the size of their correlation, and it times the root of the rows;
judged by at most so many rows."""


def dependence(batch: Batch) -> str:
    """Which variable's holes go most with another's values, in one line that says what to do; empty if none does.

    Holes are correlated with numbers, and with each label, over the rows that know these.
    """
    columns = batch.schema.columns
    batch = batch.take(torch.linspace(0, len(batch) - 1, min(len(batch), MOST_ROWS)).long().to(batch.values.device))
    holes = ~batch.observed
    if not bool(holes.any()):
        return ""
    worst, found = LEAST_CORRELATION, ""
    for j, other in enumerate(columns):
        seen = batch.observed[:, j]
        x = batch.values[seen, j].double()
        if other.cardinality is not None:
            x = torch.nn.functional.one_hot(x.long(), other.cardinality).double()
        x = x.reshape(len(x), -1)
        blank = holes[seen].double()
        if len(x) < 2:
            continue
        x, blank = x - x.mean(0), blank - blank.mean(0)
        spread = blank.square().sum(0).sqrt()[:, None] * x.square().sum(0).sqrt()
        size = (blank.T @ x).abs() / spread.clamp(min=1e-12)
        size = size.amax(1) * (size.amax(1) * len(x) ** 0.5 > LEAST_SCORE)
        c = int(size.argmax())
        if columns[c].name != other.name and float(size[c]) > worst:
            worst = float(size[c])
            name, cause = repr(columns[c].name), repr(other.name)
            found = (
                f"holes of {name} go with {cause} (correlation {worst:.2f}): without {cause} as evidence, answers on "
                f"{name} are of the rows that hold it; to learn from its holes as well: fill=True, or --set fill=true"
            )
    return found


@torch.no_grad()
def filled(model: ResidualAnyOrder, batch: Batch, member: int) -> Batch:
    """The batch without holes, those of each row drawn in a random order as a member sees them.

    Learning from such rows is a stochastic EM (Celeux and Diebolt 1985): where holes depend on what is seen, a
    variable's law given less than that is learned too. Rows of which nothing is known stay as they are.
    """
    some = torch.nonzero((~batch.observed).any(1) & batch.observed.any(1))[:, 0]
    if not len(some):
        return batch
    values, known = batch.values.double().clone(), batch.observed.clone()
    nothing = torch.zeros(len(some), 1, dtype=torch.float64, device=values.device)
    each = Paths(values[some], known[some], torch.full_like(some, member), nothing.long(), nothing)
    values[some] = walk(model, each, each.contexts(model), nothing.long(), ~known[some])
    known[some] = True
    return replace(batch, values=values.to(batch.values.dtype), observed=known)
