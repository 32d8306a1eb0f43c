"""The joint: a fitted model, what `fit` and `load` return, what is queried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from genprob import answering, auditing, questions
from genprob.data.batch import Batch
from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.data.schema_file import from_toml
from genprob.data.table import Table
from genprob.engine import device as devices
from genprob.engine.averages import averages
from genprob.engine.blocks import Blocks
from genprob.engine.randomness import Randomness
from genprob.engine.run import POSTERIOR, Run
from genprob.engine.scope import running
from genprob.errors import PluginError, UsageError
from genprob.model import Model
from genprob.query import roles
from genprob.query.audit import Audit
from genprob.query.believed import Believed
from genprob.query.capabilities import Believes, Doubtful, Draws, ScoresGiven
from genprob.query.planner import Explanation, Planner
from genprob.query.scoring import log_conditional, log_evidence
from genprob.request import Request, whole
from genprob.results.file import open as open_result
from genprob.results.file import write

_CHUNK_FLOATS = 24_000_000
"""Numbers that the particles or the draws of one chunk of queries may take."""
_CHUNK_QUERIES = 8192


class Joint:
    """A learned joint distribution p(x1..xd).

    Attributes:
        schema: its variables.
        model: the fitted model.
        run: the run it was loaded from.
        reference: rows of the training data, against which the support of evidence is judged.
        rows: number of rows it was fitted to.
        notes: what the fit decided or found odd, one line each.
        calibration: the audit of this joint's strategies, None before one was run.
    """

    def __init__(
        self, schema: Schema, model: Model, *, run: Run | None, reference: Batch, rows: int, notes: Sequence[str] = ()
    ) -> None:
        self.schema, self.model, self.run = schema, model, run
        self.reference, self.rows, self.notes = reference, rows, tuple(notes)
        self.calibration: Audit | None = None

    def __repr__(self) -> str:
        where = f" from {self.run.path}" if self.run is not None else ""
        return f"Joint({type(self.model).__name__} of {', '.join(self.schema.names)}{where})"

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", checkpoint: int | None = None) -> Joint:
        """The joint of a run; see `genprob.load`."""
        run = Run.open(path)
        schema = from_toml(run.schema, str(Path(path) / "schema.toml"))
        config = run.config
        place = devices.choose(device)
        with running(Randomness(0, place)):  # starting values are drawn before they are replaced
            model = Request.read(config).build(schema)
        saved = run.load(checkpoint)
        model.build(saved.tree["structure"])
        model.to(place)
        blocks = saved.tree["state"]["blocks"] | averages(saved.tree["state"]["memory"])
        try:
            Blocks({"model": model}).restore({k: v for k, v in blocks.items() if k.startswith("model.")})
        except PluginError as error:
            raise PluginError(f"{path}: {error}") from None
        model.eval()
        tensors = saved.tree["reference"]
        values, observed = tensors["values"].to(place), tensors["observed"].to(place)
        reference = Batch(schema, values, observed, torch.arange(len(values), device=place), len(values))
        with running(Randomness(0, place)), torch.no_grad():
            remarks = model.remarks(reference)
        chosen = [line for line in map((config.get("choice") or {}).get, ("why", "contest")) if line]
        notes = [*chosen, *saved.tree["notes"], *([saved.note] if saved.note else []), *remarks]
        joint = cls(schema, model, run=run, reference=reference, rows=config["rows"], notes=notes)
        if isinstance(model, Believes):
            tree = joint.posterior
            if tree is not None:
                model.believe(Believed.of(tree, place), reference)
        if checkpoint is None:
            joint.calibration = auditing.read(run)
        return joint

    @property
    def posterior(self) -> xr.DataTree | None:
        """Draws of the model's unknowns given all rows, None where the inference keeps none.

        Groups `posterior` (dims chain, draw, ...) and `sample_stats` (`lp`) in ArviZ's names. Raises
        `CorruptFileError` if the file was altered.
        """
        if self.run is None or POSTERIOR not in self.run.files():
            return None
        tree = open_result(self.run.path / POSTERIOR)
        assert isinstance(tree, xr.DataTree)
        return tree

    @property
    def variables(self) -> Schema:
        """What queries may name: the data's variables, then those that the model declares (latents, parameters)."""
        return roles.vocabulary(self)

    # --- drawing and scoring

    def sample(self, draws: int, *, seed: int = 0) -> xr.Dataset:
        """`draws` rows of the joint along dim `draw`, decoded to data units.

        >>> import genprob
        >>> genprob.fit({"x": [1.5, 2.25, 3.125]}, components=1).sample(5, seed=1).sizes["draw"]
        5
        """
        draws = whole("draws", draws, 1)
        schema = replace(self.schema, sample_dim="draw")
        return Table(schema, self.draw(draws, seed)).to_dataset().assign_coords(draw=np.arange(draws))

    def draw(self, draws: int, seed: int) -> np.ndarray:
        if not isinstance(self.model, Draws):
            raise UsageError(f"{type(self.model).__name__} cannot be sampled")
        with running(self.rng(seed)), torch.no_grad():
            return np.concatenate([self.model.draw(min(50_000, draws - a)) for a in range(0, draws, 50_000)])

    def log_prob(self, data: Any, *, seed: int = 0) -> xr.Dataset:
        """log p of each row's known cells: `log_prob` and `standard_error` along the sample dimension, in nats.

        Density in data units for true reals, probability for categories, counts and cells. The attribute `kind` is
        `exact`, a bound, or `estimate` (of the probability without bias, so of its log a little low) where latents,
        or rounding cells of correlated reals, have to be integrated by simulation. `law` says under which law, and
        `log_partition_se` holds the error of a log-partition function that all rows share; `reliable` is 0 and
        `reasons` says why where that function is not to be trusted.
        """
        table = self.table(data)
        return self._scored(table, None, seed)

    def conditional_log_prob(self, data: Any, given: Iterable[str], *, seed: int = 0) -> xr.Dataset:
        """log p(rest | given) of each row, the same shape as `log_prob`; unknown cells are left out on both sides."""
        table = self.table(data)
        known = np.zeros(self.schema.width, dtype=bool)
        for name in [given] if isinstance(given, str) else given:
            known[self.schema.slices[self.schema[name].name]] = True
        return self._scored(table, known, seed)

    def _scored(self, table: Table, given: np.ndarray | None, seed: int) -> xr.Dataset:
        columns = given if given is not None and given.any() else None
        with running(self.rng(seed)), torch.no_grad():
            if columns is not None and isinstance(self.model, ScoresGiven):
                scored, columns = log_conditional(self, table.values, columns), None
            else:
                scored = log_evidence(self, table.values)
        if columns is not None:
            with running(self.rng(seed)), torch.no_grad():
                scored = scored.less(log_evidence(self, np.where(columns, table.values, np.nan)))
        # In a conditional log Z cancels, and so does what is wrong with it.
        doubt = self.model.doubt() if isinstance(self.model, Doubtful) and given is None else ""
        dim = self.schema.sample_dim
        measures = {v.name: v.measure.text() for v in self.schema if v.measure is not None}
        return xr.Dataset(
            {
                "log_prob": (dim, scored.value, {"units": "nats"}),
                "standard_error": (dim, scored.error, {"units": "nats"}),
            },
            coords=None if table.coord is None else {dim: (dim, table.coord)},
            attrs={
                "kind": scored.kind,
                "law": scored.law,
                "log_partition_se": scored.partition_error,
                "reliable": int(not doubt),
                "reasons": doubt,
                "measure": "; ".join(f"{k}: {v}" for k, v in measures.items()),
                "model": type(self.model).__name__,
            },
        )

    # --- asking

    def query(
        self,
        targets: Iterable[str] | str | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        rows: Any = None,
        draws: int = 1000,
        seed: int = 0,
        strategy: str | None = None,
        budget: int | None = None,
        out: str | Path | None = None,
        audit: bool = False,
    ) -> xr.DataTree:
        """Asks p(targets | given), or a batch of such questions.

        Arguments:
            targets: variables asked, those of the data or of `variables`; None asks everything of the data not given.
            given: variable -> value or evidence (`Within`, `OneOf`, `Soft`, `Masked`).
            rows: a batch instead: a data set, frame or path whose holes are asked, or a list of `given` mappings.
            draws: draws returned per query.
            seed: the same call with the same seed gives the same answer.
            strategy: the one strategy to use.
            budget: proposals per query, for strategies that have a budget.
            out: file to write the answer to; a batch is streamed to it in bounded memory.
            audit: test this very answer on planted truths near its evidence (a single query only).

        Returns the answer as an `xr.DataTree`: `posterior` (draws), `marginals`, `sample_stats`, `query`, and the
        status of the answer in the attributes. Raises `UsageError` for what cannot be asked.

        >>> import genprob
        >>> joint = genprob.fit({"x": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}, components=1)
        >>> answer = joint.query(targets=["g"], given={"x": 0.9}, draws=10)
        >>> answer.attrs["guarantee"], answer["posterior"]["g"].dims
        ('exact', ('chain', 'draw'))
        """
        draws = whole("draws", draws, 1)
        budget = None if budget is None else whole("budget", budget, 2)
        names = [targets] if isinstance(targets, str) else None if targets is None else list(targets)
        if rows is not None:
            if given is not None:
                raise UsageError("give either rows= or given=, not both")
            if audit:
                raise UsageError("audit=True tests a single answer; `joint.audit()` serves batches")
            return answering.of_rows(self, rows, names, draws, seed, strategy, budget, out)
        asked = dict(given or {})
        batch = roles.queries(self, [asked], names)
        if not batch.asked.any():
            raise UsageError("nothing is asked: every variable is given")
        tree = answering.answered(
            self, batch, draws, self.rng(seed), seed, strategy, budget, [asked], single=True, audit=audit
        )
        if out is not None:
            write(tree, out)
        return tree

    def explain(
        self, targets: Iterable[str] | str | None = None, given: Mapping[str, Any] | None = None
    ) -> Explanation:
        """Every strategy's offer or refusal to a query, and which would be chosen; nothing is drawn."""
        names = [targets] if isinstance(targets, str) else None if targets is None else list(targets)
        return Planner(self).explain(roles.queries(self, [dict(given or {})], names))

    def probability(
        self,
        event: Mapping[str, Any],
        given: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        draws: int = 4000,
        seed: int = 0,
        budget: int | None = None,
    ) -> xr.DataArray:
        """p(event | given), a number between 0 and 1.

        Exact where the joint knows both log-evidences exactly; otherwise the share of draws that fall into the event
        or the ratio of the evidences, whichever has the smaller error.

        Arguments:
            event: variable -> `Within`, `OneOf`, or a value of a variable with a step or labels.
            given: what is known; a list of mappings asks one probability each, along dim `query`.

        The coordinates `standard_error`, `reliable` (0 or 1), `guarantee` and `reasons` say how far to trust it.
        Raises `UsageError` for events of probability zero and for variables that are given as well.

        >>> import genprob
        >>> joint = genprob.fit({"x": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}, components=1)
        >>> round(float(joint.probability({"g": "a"})), 2)
        0.5
        """
        return questions.probability(self, event, given, draws=whole("draws", draws, 2), seed=seed, budget=budget)

    def expectation(
        self,
        function: Callable[[xr.Dataset], xr.DataArray],
        targets: Iterable[str] | str | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        draws: int = 4000,
        seed: int = 0,
        budget: int | None = None,
    ) -> xr.DataArray:
        """E[function(targets) | given], with its Monte Carlo error as the coordinate `standard_error`.

        Arguments:
            function: takes the draws (dims chain, draw) and returns one value per draw, such as
                `lambda d: d["price"] / d["carat"]`.
        """
        return questions.expectation(function, self.query(targets, given, draws=draws, seed=seed, budget=budget))

    def influence(
        self,
        targets: Iterable[str] | str,
        given: Mapping[str, Any],
        *,
        draws: int = 400,
        seed: int = 0,
        budget: int | None = None,
    ) -> xr.Dataset:
        """Which evidence moved the targets: KL(p(targets | all) || p(targets | all but one)) in nats, largest first.

        Nothing else of the evidence stands in for a piece that has a large `change`; two pieces that say the same may
        both have a small one.
        """
        names = [targets] if isinstance(targets, str) else list(targets)
        return questions.influence(self, names, given, draws=whole("draws", draws, 2), seed=seed, budget=budget)

    def surprise(self, data: Any, *, seed: int = 0) -> xr.Dataset:
        """How unexpected each known cell is given the rest of its row: -log p(cell | rest), in nats.

        `excess` is the surprise above that of the variable's average training cell, which compares variables of
        different units and measures; `rank` is the share of the training cells that are less surprising.
        """
        return questions.surprise(self, self.table(data), seed)

    def mode(
        self,
        targets: Iterable[str] | str | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        draws: int = 1000,
        seed: int = 0,
        budget: int | None = None,
    ) -> xr.Dataset:
        """The likeliest values of the targets: the likeliest level of one label, else the likeliest of many draws.

        A model that scores conditionals itself then climbs from the best draw, one target after the other. The
        attributes `log_prob` and `caveat` say what was found: that is no optimum, and the mode of a density
        moves with the units of its variables.
        """
        names = [targets] if isinstance(targets, str) else None if targets is None else list(targets)
        return questions.mode(self, names, given or {}, draws=whole("draws", draws, 1), seed=seed, budget=budget)

    # --- auditing

    def audit(
        self,
        *,
        queries: int = 200,
        shares: Sequence[float] = (0.25, 0.5, 0.75),
        kinds: Sequence[str] = ("points", "ranges"),
        data: Any = None,
        strategy: str | None = None,
        budget: int | None = None,
        seed: int = 0,
        resume: bool = True,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> xr.Dataset:
        """Tests the strategies on truths that the joint plants, and keeps what it finds in the run.

        Every later answer of this joint looks up the cell of its strategy, kind of evidence and share of variables
        given: that is the `calibration` of its status.

        Arguments:
            queries: planted truths per kind and share.
            shares: shares of the variables that are given.
            kinds: `points`, `ranges` (with intervals and sets), `noisy` (with noisy readings and likelihoods).
            data: held-out rows; audited in the same way, they show the model's own errors too.
            strategy: audit this strategy only, wherever it offers to answer.
            budget: proposals per query.
            seed: the same call finds the same.
            resume: take over cells that the run holds from an audit of the same size and seed.
            progress: called with `{step, steps, message}` after each kind and share.

        Returns the cells along dim `cell`. Raises `UsageError` for a joint that cannot be sampled.
        """
        return auditing.audit(
            self, queries=queries, shares=shares, kinds=kinds, data=data, strategy=strategy, budget=budget,
            seed=seed, resume=resume, progress=progress,
        )  # fmt: skip

    # --- inside

    def chunk(self, particles: int) -> int:
        """How many queries of so many particles or draws are answered at once."""
        return max(1, min(_CHUNK_QUERIES, _CHUNK_FLOATS // (particles * max(4, self.schema.width))))

    def chunks(self, queries: int, particles: int) -> Iterator[slice]:
        """Parts of a batch of queries, of as many particles each, that fit in memory."""
        step = self.chunk(particles)
        for first in range(0, queries, step):
            yield slice(first, min(queries, first + step))

    def rng(self, seed: int) -> Randomness:
        """Random numbers of a call, on the device of the joint."""
        return Randomness(whole("seed", seed, 0), self.reference.values.device)

    def table(self, data: Any) -> Table:
        """Data in any form that `genprob.read` takes, as numbers under this schema; absent variables are missing."""
        return Table.from_dataset(self.schema, read(data, schema=self.schema, allow_missing=True), allow_missing=True)


def load(path: str | Path, *, device: str = "auto", checkpoint: int | None = None) -> Joint:
    """The joint that a run holds.

    Arguments:
        path: the run folder.
        device: where the model is put.
        checkpoint: a kept step instead of the run's answer.

    Raises `UsageError` where there is no run, `CorruptFileError` where a file of it was altered, `PluginError` where
    its model's plugin is not installed.
    """
    return Joint.load(path, device=device, checkpoint=checkpoint)
