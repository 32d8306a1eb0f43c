"""Roles: variables that a model declares beside those of the data, and queries that name them.

The schema of the data stays as it is: readers, tables, masks, scores and audits know nothing of roles. A query that
names a declared variable is held over the data's schema with the declared variables behind; `QueryBatch.part` is what
such a query says of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Normal, constraints

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real, Support
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.query.batch import NOTHING, POINT, RANGE, QueryBatch
from genprob.query.capabilities import Cloud, Declares
from genprob.query.evidence import Masked
from genprob.query.strategy import Refusal
from genprob.query.weighted import marginals
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

NOTHING_MOVES = Refusal("a latent is given, and chains move all of them")
_MOST_LEVELS = 1000


def vocabulary(joint: Joint) -> Schema:
    """The data's variables and those that the model declares."""
    if not isinstance(joint.model, Declares):
        return joint.schema
    with running(joint.rng(0)), torch.no_grad():
        declared = joint.model.declared()
    return replace(joint.schema, variables=(*joint.schema, *(v for v in declared if v.name not in joint.schema)))


def named(joint: Joint, names: Iterable[str]) -> Schema:
    """The data's schema if it has all the names, else the vocabulary."""
    return joint.schema if {*names} <= {*joint.schema.names} else vocabulary(joint)


def queries(joint: Joint, rows: Sequence[Mapping[str, Any]], targets: Sequence[str] | None) -> QueryBatch:
    """One query a mapping, over the data's schema unless a name is that of a declared variable.

    Without targets everything of the data that is not given is asked. Raises `UsageError` as
    `QueryBatch.from_evidence` does, and for declared variables that cannot be given so.
    """
    schema = named(joint, (*(targets or ()), *(name for row in rows for name in row)))
    if schema is joint.schema:
        return QueryBatch.from_evidence(schema, rows, targets)
    if targets is None:
        targets = [n for n in joint.schema.names if any(n not in row or isinstance(row[n], Masked) for row in rows)]
        if not targets:
            raise UsageError("nothing is asked: every variable of the data is given; name targets")
    batch = QueryBatch.from_evidence(schema, rows, targets)
    for variable in schema.variables[len(joint.schema) :]:
        given = batch.kind[:, schema.slices[variable.name]] == POINT
        if variable.role == "parameter" and given.any():
            raise UsageError(
                f"{variable.name!r} is a parameter, known by draws: give Within(lo, hi) or Soft(value, sd=...) of it, "
                "not a value"
            )
        if (given.any(1) != given.all(1)).any():
            raise UsageError(f"latent {variable.name!r} is given in part; give all of it, or Within or Soft of it")
    return batch


def holes(joint: Joint, values: np.ndarray, targets: Sequence[str]) -> QueryBatch:
    """One query a row of the data's `[Q, width]`: known cells are given, the declared variables among targets asked."""
    schema = vocabulary(joint)
    more = np.full((len(values), schema.width - values.shape[1]), np.nan)
    batch = QueryBatch.from_values(schema, np.concatenate([values, more], 1))
    wanted = np.zeros(schema.width, dtype=bool)
    for name in targets:
        wanted[schema.slices[schema[name].name]] = True
    return replace(batch, asked=batch.asked & wanted)


def extended(asked: QueryBatch, schema: Schema) -> bool:
    """True where queries are held over more than the data's `schema`."""
    return len(asked.schema) > len(schema)


def held(asked: QueryBatch, schema: Schema) -> np.ndarray:
    """`[Q]`, True where a declared variable is given to a point."""
    return (asked.kind[:, schema.width :] == POINT).any(1)


def variable(name: str, law: Any, value: Tensor, role: str) -> Variable:
    """A site as a variable, from a value `[rows, *event]` of it; its dims are named as ArviZ names them."""
    shape = tuple(value.shape[1:])
    return Variable(name, _support(law.support), None, tuple(f"{name}_dim_{i}" for i in range(len(shape))), shape,
                    role=role)  # fmt: skip


def log_told(asked: QueryBatch, values: Tensor, first: int) -> Tensor:
    """log-likelihood of what is told of declared variables other than by points, `[Q, J]`.

    Arguments:
        values: `[Q, J, columns]` of the columns from `first` on.
    """
    out = torch.zeros(values.shape[:2], dtype=torch.float64, device=values.device)
    for j in range(first, asked.schema.width):
        kind = asked.kind[:, j]
        if not np.isin(kind, (NOTHING, POINT)).all():
            for q in np.flatnonzero(~np.isin(kind, (NOTHING, POINT))).tolist():
                out[q] = out[q] + _log_told(asked, q, j, values[q, :, j - first].double())
    return out


def _log_told(asked: QueryBatch, q: int, j: int, x: Tensor) -> Tensor:
    a, b = float(asked.a[q, j]), float(asked.b[q, j])
    if asked.kind[q, j] == RANGE:
        return torch.where((x >= a) & (x <= b), 0.0, -torch.inf)
    if j in asked.likelihoods and asked.schema.columns[j].cardinality is not None:
        return torch.as_tensor(asked.likelihoods[j][q], device=x.device).log()[x.long()]
    if j in asked.sets and np.isfinite(asked.sets[j][q]).any():
        allowed = torch.as_tensor(asked.sets[j][q], device=x.device)
        return torch.where((x[:, None] == allowed).any(1), 0.0, -torch.inf)
    return Normal(x, b, validate_args=False).log_prob(torch.as_tensor(a, device=x.device))


class Held(Messenger):
    """Where a query gives a latent, the program has it.

    Arguments:
        given: site -> where it is given `[rows]`, and its value `[rows, *event]`.
    """

    def __init__(self, given: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.given = given

    @classmethod
    def of(cls, asked: QueryBatch, schema: Schema, copies: int, device: torch.device) -> Held:
        """Of queries over a schema with declared variables behind the data's, each `copies` times in succession."""
        given = {}
        for v in asked.schema.variables[len(schema) :]:
            columns = asked.schema.slices[v.name]
            fixed = (asked.kind[:, columns] == POINT).all(1)
            if fixed.any():
                value = np.nan_to_num(asked.a[:, columns]).reshape(len(asked), *v.shape)
                pair = (torch.as_tensor(x, device=device).repeat_interleave(copies, 0) for x in (fixed, value))
                given[v.name] = tuple(pair)
        return cls(given)

    def free(self, name: str, log_prob: Tensor) -> Tensor:
        """A site's log-density `[rows]`, 0 where it is given."""
        return log_prob if name not in self.given else torch.where(self.given[name][0], 0.0, log_prob)

    def misses(self, values: Mapping[str, Tensor], rows: int) -> Tensor:
        """`[rows]`, where latents are not what is given."""
        out = torch.zeros(rows, dtype=torch.bool)
        for name, (fixed, value) in self.given.items():
            differs = (values[name] != value.to(values[name].dtype)).reshape(rows, -1).any(1)
            out = out.to(fixed.device) | (fixed & differs)
        return out

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] not in self.given or msg["value"] is not None or msg["is_observed"]:
            return
        fixed, value = self.given[msg["name"]]
        drawn = msg["fn"]()
        where = fixed.reshape(-1, *[1] * (drawn.ndim - 1))
        msg["value"], msg["done"] = torch.where(where, value.to(drawn.dtype).reshape(drawn.shape), drawn), True


class RoleCloud:
    """A cloud over the data whose particles tell the declared variables as well, as further columns.

    Arguments:
        cloud: of the data's part of the queries.
        values: `[Q, J, columns]` of the declared variables.
        asked: the whole queries.
        weighed: whether what is told of declared variables is in the weights already.
    """

    def __init__(self, cloud: Cloud, values: Tensor, asked: QueryBatch, *, weighed: bool = False) -> None:
        self.cloud, self.values, self.asked = cloud, values, asked
        if not weighed:
            told = log_told(asked, values, asked.schema.width - values.shape[-1])
            cloud.log_weight = cloud.log_weight + told.to(cloud.log_weight.device)

    @property
    def log_weight(self) -> Tensor:
        return self.cloud.log_weight

    @log_weight.setter
    def log_weight(self, value: Tensor) -> None:
        self.cloud.log_weight = value

    @torch.no_grad()
    def draw(self, index: Tensor) -> np.ndarray:
        chosen = self.values.gather(1, index[..., None].expand(-1, -1, self.values.shape[-1]))
        return np.concatenate([self.cloud.draw(index), chosen.double().cpu().numpy()], -1)

    @torch.no_grad()
    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        first = self.asked.schema.width - self.values.shape[-1]
        declared = [name for name in targets if self.asked.schema.slices[name].start >= first]
        blank = np.zeros((*self.values.shape[:2], first))
        rows = np.concatenate([blank, self.values.double().cpu().numpy()], -1)[:, :, None]
        found = self.cloud.marginals(tuple(name for name in targets if name not in declared))
        found |= marginals(self.asked.schema, rows, self.log_weight.cpu().numpy(), tuple(declared))
        return {name: found[name] for name in targets}


def _support(constraint: Any) -> Support:
    """The support that a constraint amounts to; vectors on a simplex and the like are reals."""
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    lo, hi = (_number(getattr(constraint, f"{end}_bound", None)) for end in ("lower", "upper"))
    if constraint is constraints.boolean:
        return Binary()
    if constraint.is_discrete:
        if lo == 0 and hi is not None and hi < _MOST_LEVELS:
            return Categorical(tuple(map(str, range(int(hi) + 1))))
        return Count() if lo is not None and lo >= 0 else Real()
    if constraint.event_dim == 0 and lo is not None and hi is not None and lo < hi:
        return Interval(lo, hi)
    return Positive() if constraint.event_dim == 0 and lo == 0 and hi is None else Real()


def _number(bound: Any) -> float | None:
    """A bound that is the same everywhere."""
    if bound is None:
        return None
    each = torch.as_tensor(bound, dtype=torch.float64).reshape(-1)
    return float(each[0]) if bool((each == each[0]).all()) else None
