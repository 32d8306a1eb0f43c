"""How fast do the joint's own Markov chains move between modes?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.capabilities import Tempers
from genprob.engine.diagnostics import ess_bulk, rhat
from genprob.engine.scope import running
from genprob.engine.transition import Adaptive, Kernel
from genprob.errors import Diverged, UsageError
from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.mixing import Estimate, autocorrelation, changes, expected_visits, return_times, visited
from genprob.metrics.score import Better, Result, Score
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Clamps, Codes, HeldChains, Walks
from genprob.request import whole
from genprob_metrics.cells import Cells, clustered, label_of, labelled, standardised

WINDOW = 100
"""Steps in which visits are counted."""
LAGS = (1, 10, 100)
_TEMPERED = (1, 5)


class Mixing:
    """Modes visited, autocorrelation and return times of the joint's own chains, tempered ones beside them.

    A chain moves between cells: the labels of a column, or clusters of the rows by k-means. `visited` is the mean
    number of cells among 100 successive positions (ideal: what independent draws from the rows' cells visit);
    `changes` counts moves from cell to cell; `return_time` is how long a chain takes from one entry of a cell to the
    next, averaged over cells by their shares of the rows, and infinite where chains stand in a cell that none entered;
    `steps_per_draw` is how many steps are worth one independent draw, of the coordinate or the cell that is slowest;
    `rhat` is the worst R-hat of the cells, infinite where chains stay in different ones. Chains begin at draws of the
    joint. Where the model has codes, the same chains are looked at there too, with clusters of the rows' codes. A step
    is one transition of the model's kernel (a sweep of Gibbs sampling, a trajectory of HMC); with temperatures, one of
    every copy, and an exchange.

    See also: Bengio, Mesnil, Dauphin and Rifai 2013 (mixing in code space); Desjardins et al. 2010 (tempered chains).

    Arguments:
        label: a column of categories or binaries whose values are the cells; None for the only categorical one, or
            clusters where there is none; `none` for clusters.
        clusters: how many.
        temperatures: how many copies exchange places, 1 for the chain alone; None is 1, and 5 where the model can.
        chains: how many are run.
        steps: of each.
        warmup: steps before, in which a kernel adapts.
        seed: of chains and clusters.
    """

    def __init__(
        self,
        *,
        label: str | None = None,
        clusters: int = 10,
        temperatures: tuple[int, ...] | None = None,
        chains: int = 20,
        steps: int = 500,
        warmup: int = 100,
        seed: int = 0,
    ) -> None:
        self.label, self.clusters = label, whole("clusters", clusters, 2)
        self.temperatures = None if temperatures is None else tuple(whole("temperatures", t, 1) for t in temperatures)
        if self.temperatures == ():
            raise UsageError("temperatures: name at least one number, 1 for the chain alone")
        self.chains, self.steps = whole("chains", chains, 2), whole("steps", steps, WINDOW)
        self.warmup, self.seed = whole("warmup", warmup, 0), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        counts = self._counts(joint)
        rows = table(joint, data).values
        label = label_of(joint.schema, self.label)
        seen = [self._space(joint, rows, label)]
        coded = self._code(joint)
        if coded is not None:
            seen.append(_Space("code", coded, clustered(coded, rows, self.clusters, self.seed)))
        walked, seconds = {}, {}
        for count in counts:
            name = "own" if count == 1 else f"{count} temperatures"
            walked[name], seconds[name] = self._walked(joint, count)
        found = {(chain, space.name): _found(space, positions) for chain, positions in walked.items() for space in seen}
        return self._result(found, {space.name: space for space in seen}, seconds)

    # --- chains

    def _counts(self, joint: Joint) -> tuple[int, ...]:
        model = joint.model
        name = type(model).__name__
        if not isinstance(model, Clamps | Walks):
            raise UsageError(f"{name} has no Markov chain of its own; rbm, boltzmann, energy, dae and gsn have")
        if self.temperatures is None:
            return _TEMPERED if isinstance(model, Tempers) else (1,)
        if max(self.temperatures) > 1 and not isinstance(model, Tempers):
            raise UsageError(f"{name} has no tempered kernel: leave temperatures at 1")
        return self.temperatures

    def _held(self, joint: Joint) -> HeldChains:
        queries, model = QueryBatch.empty(joint.schema, 1), joint.model
        if isinstance(model, Clamps) and not model.unclampable(queries)[0]:
            return model.clamp(queries, self.chains)
        assert isinstance(model, Walks)
        return model.walk(queries, self.chains)

    def _walked(self, joint: Joint, count: int) -> tuple[np.ndarray, float]:
        """Positions `[step, chain, width]` in data units, and processor seconds of 100 steps of all chains."""
        with running(joint.rng(self.seed)), torch.no_grad():
            held = self._held(joint)
            position = held.start()
            if count > 1:
                assert isinstance(joint.model, Tempers)
                kernel, position = joint.model.tempered_kernel(count), position[0]
            else:
                kernel = held.kernel(self.warmup)
            memory = kernel.init(position)
            for _ in range(self.warmup):
                position, memory, told = kernel.step(position, memory)
                if isinstance(kernel, Adaptive):
                    memory = kernel.adapt(position, memory, told)
            return self._recorded(held, kernel, position, memory, alone=count > 1)

    def _recorded(
        self, held: HeldChains, kernel: Kernel, position: Tensor, memory: Any, *, alone: bool
    ) -> tuple[np.ndarray, float]:
        kept, spent = [], 0.0
        for _ in range(self.steps):
            began = time.process_time()
            position, memory, _ = kernel.step(position, memory)
            spent += time.process_time() - began
            kept.append(held.rows(position[None] if alone else position)[0])
        rows = np.stack(kept)
        if not np.isfinite(rows).all():
            step, chain, column = np.argwhere(~np.isfinite(rows))[0]
            raise Diverged(f"chain {chain} left the numbers at step {step}, column {column}: there is no law to visit")
        return rows, spent * WINDOW / self.steps

    # --- cells

    def _space(self, joint: Joint, rows: np.ndarray, label: str | None) -> _Space:
        schema = joint.schema
        at = standardised(schema, rows)
        cells = labelled(schema, rows, label) if label else clustered(at, rows, self.clusters, self.seed)
        return _Space("data", at, cells)

    def _code(self, joint: Joint) -> Callable[[np.ndarray], np.ndarray] | None:
        """Rows `[row, width]` to codes; None where the model has none."""
        model = joint.model
        if not isinstance(model, Codes):
            return None
        place, precision, encode = joint.reference.values.device, model.precision, model.code

        def code(values: np.ndarray) -> np.ndarray:
            at = torch.as_tensor(values, device=place).to(precision)
            index = torch.arange(len(at), device=place)
            batch = Batch(joint.schema, at, torch.ones(at.shape, dtype=torch.bool, device=place), index, len(at))
            with running(joint.rng(self.seed)), torch.no_grad():
                return encode(batch).double().cpu().numpy()

        return code if code(joint.reference.values[:1].cpu().numpy()).shape[1] else None

    # --- what was found

    def _result(
        self, found: dict[tuple[str, str], _Found], spaces: dict[str, _Space], seconds: dict[str, float]
    ) -> Result:
        names = [chain if len(spaces) == 1 else f"{chain}, in {space}" for chain, space in found]
        each, here = list(found.values()), [spaces[space] for _, space in found]
        most = max(len(space.cells.names) for space in here)
        lags = [lag for lag in LAGS if lag < self.steps]
        headline, by_chain = [], []
        measures: tuple[tuple[str, str, Better, list[Estimate], float], ...] = (
            ("visited", f"cells in {WINDOW} steps", "higher", [one.visited for one in each], each[0].independent),
            ("changes", f"changes in {WINDOW} steps", "higher", [one.changes for one in each], np.nan),
            ("return_time", "steps", "lower", [one.mean_return() for one in each], np.nan),
            ("steps_per_draw", "steps", "lower", [one.steps_per_draw for one in each], 1.0),
            ("rhat", "", "lower", [one.rhat for one in each], 1.0),
        )
        for name, units, better, estimates, ideal in measures:
            values, errors = (np.array([getattr(e, part) for e in estimates]) for part in ("value", "error"))
            n = np.full(len(each), self.chains)
            headline.append(Score(name, values[0], errors[0], n[0], units, better, ideal=ideal))
            by_chain.append(Score(f"{name}_by_chain", values, errors, n, units, better, dims=("chain",)))
        value, error = (np.stack([getattr(one.correlation, part) for one in each]) for part in ("value", "error"))
        n = np.full(value.shape, self.chains)
        by_chain.append(Score("autocorrelation", value, error, n, "", "lower", ideal=0.0, dims=("chain", "lag")))

        def padded(values: list[np.ndarray]) -> tuple[tuple[str, str], np.ndarray]:
            return ("chain", "cell"), np.stack([np.pad(x, (0, most - len(x)), constant_values=np.nan) for x in values])

        details: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            "visited_by_independent_draws": (("chain",), np.array([one.independent for one in each])),
            "seconds_per_100_steps": (("chain",), np.array([seconds[chain] for chain, _ in found])),
            "return_time_by_cell": padded([one.returns.value for one in each]),
            "return_time_by_cell_se": padded([one.returns.error for one in each]),
            "entries": padded([one.entries for one in each]),
            "share": padded([one.share for one in each]),
            "share_of_rows": padded([space.cells.share for space in here]),
        }
        attrs = {f"cells_in_{name}": space.cells.about for name, space in spaces.items()}
        attrs |= {f"names_in_{name}": ", ".join(space.cells.names) for name, space in spaces.items()}
        coords = {"chain": names, "lag": lags, "cell": list(range(1, most + 1))}
        told = {"chains": self.chains, "steps": self.steps, "warmup": self.warmup}
        return Result((*headline, *by_chain), coords=coords, details=details, attrs=attrs | told)


@dataclass(frozen=True, eq=False)
class _Space:
    """Where chains are looked at: coordinates of rows, and cells."""

    name: str
    coordinates: Callable[[np.ndarray], np.ndarray]
    cells: Cells


@dataclass(frozen=True, eq=False)
class _Found:
    """What one kind of chain did in one space."""

    visited: Estimate
    changes: Estimate
    correlation: Estimate
    returns: Estimate
    entries: np.ndarray
    share: np.ndarray
    rows: np.ndarray
    steps_per_draw: Estimate
    rhat: Estimate
    independent: float

    def mean_return(self) -> Estimate:
        """Over the cells that were entered, each by its share of the rows."""
        entered = ~np.isnan(self.returns.value) & (self.rows > 0)
        if not entered.any():
            return Estimate(np.array(np.nan), np.array(np.nan))
        if np.isinf(self.returns.value[entered]).any():
            return Estimate(np.array(np.inf), np.array(np.nan))
        weight = np.where(entered, self.rows, 0.0) / self.rows[entered].sum()
        value, error = np.nan_to_num(self.returns.value), np.nan_to_num(self.returns.error)
        # The cells' numbers come from the same chains: their errors are added as if they went together.
        return Estimate(np.array(weight @ value), np.array(weight @ error))


def _found(space: _Space, positions: np.ndarray) -> _Found:
    steps, chains, width = positions.shape
    flat = positions.reshape(-1, width)
    number = len(space.cells.names)
    cells = space.cells.of(flat).reshape(steps, chains)
    at = space.coordinates(flat).reshape(steps, chains, -1)
    returns, entries = return_times(cells, number)
    share = np.bincount(cells.reshape(-1), minlength=number) / cells.size
    never = (share > 0) & (entries == 0)
    returns = Estimate(np.where(never, np.inf, returns.value), np.where(never, np.nan, returns.error))
    moving = at[..., at.reshape(-1, at.shape[-1]).std(0) > 0]
    inside = torch.as_tensor(cells[..., None] == np.flatnonzero((share > 0) & (share < 1))).double()
    worst = float(rhat(inside).max()) if inside.shape[-1] else np.nan
    looked = torch.cat([torch.as_tensor(moving, dtype=torch.float64), inside], -1)
    per_draw = steps * chains / float(ess_bulk(looked).min()) if looked.shape[-1] else np.nan
    return _Found(
        visited(cells, WINDOW),
        changes(cells, WINDOW),
        autocorrelation(at, [lag for lag in LAGS if lag < steps]),
        returns,
        entries.astype(float),
        share,
        space.cells.share,
        Estimate(np.array(np.inf if worst == np.inf else per_draw), np.array(np.nan)),
        Estimate(np.array(worst), np.array(np.nan)),
        expected_visits(space.cells.share, WINDOW),
    )
