"""Cells: how likely each variable of a row is given the rest of the row."""

from __future__ import annotations

import numpy as np
import torch

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Ensemble
from genprob.query.orders import along, given_points, score_points


def log_conditionals(model: Ensemble, queries: QueryBatch) -> np.ndarray:
    """log p(variable | the other known cells) of queries that know points only, `[Q, variables]`; NaN at holes.

    A scalar's is one conditional of the network; the cells of an array follow one another in the schema's order.
    Members are weighed by p(row | member) / p(variable | rest, member), the first averaged over the model's orders:
    p(rest | member) for members whose orders agree, near it for others.
    """
    values, known = given_points(queries, model)
    members, schema = model.members, queries.schema
    rows = torch.zeros(len(values), members, 1)
    if members > 1:
        rows = torch.as_tensor(score_points(model, values, known, model.orders).log_p)
    of_member = torch.logsumexp(rows, 2).to(values.device)
    out = np.full((len(values), len(schema)), np.nan)
    for v, variable in enumerate(schema):
        own = torch.zeros_like(known)
        own[:, schema.slices[variable.name]] = True
        some = torch.nonzero((known & own).any(1))[:, 0]
        if not len(some):
            continue
        asked, given = (known & own)[some], (known & ~own)[some]
        turn = (asked.cumsum(1) - 1)[:, None]
        found = [along(model, values[some], asked, turn, given, m)[:, 0] for m in range(members)]
        log_p = torch.stack(found, 1)
        weight = of_member[some] - log_p if members > 1 else torch.zeros_like(log_p)
        told = torch.logsumexp(weight + log_p, 1) - torch.logsumexp(weight, 1)
        out[some.cpu().numpy(), v] = told.cpu().numpy()
    return out
