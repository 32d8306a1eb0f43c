"""The film of a Markov chain: its states, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.pictures.tiles import grid, labelled, shown_image
from genprob.query import roles
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Clamps, HeldChains, Walks
from genprob.request import whole
from genprob.results.plot import new_panels, save

if TYPE_CHECKING:
    from genprob.joint import Joint

_HAVE = "dae, gsn, rbm, boltzmann and energy have one"


def film(
    joint: Joint,
    given: Mapping[str, Any] | None = None,
    *,
    chains: int = 3,
    states: int = 16,
    stride: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    """States of the model's own Markov chain, held to evidence if any: every variable, dims (chain, step, ...).

    Chains begin where those of queries begin, at rows of the data; the first state is that start. Labels are codes.

    Arguments:
        joint: of a model with a chain.
        given: variable -> value or evidence that the chain is held to.
        chains: how many of them.
        states: kept of each chain.
        stride: transitions from one state to the next.

    Raises `UsageError` for a model that has no chain, or whose chain cannot be held to the evidence.
    """
    chains, states, stride = whole("chains", chains, 1), whole("states", states, 1), whole("stride", stride, 1)
    queries = roles.queries(joint, [dict(given or {})], None)
    if not queries.asked.any():
        raise UsageError("every variable is given, so the chain has nothing to move")
    with running(joint.rng(seed)), torch.no_grad():
        held = _held(joint, queries, chains)
        position = held.start()
        kernel = held.kernel(0)
        memory = kernel.init(position)
        rows = [held.rows(position)[0]]
        for _ in range(states - 1):
            for _ in range(stride):
                position, memory, _ = kernel.step(position, memory)
            rows.append(held.rows(position)[0])
    values = np.stack(rows, 1)
    return xr.Dataset(labelled(joint.schema, values, ("chain", "step")), coords={"step": stride * np.arange(states)})


def plot_film(states: xr.Dataset, out: str | Path) -> Path:
    """Draws `film`: of images a line of pictures a chain, else one panel a number with a line a chain.

    Arguments:
        states: what `film` gives.
        out: the picture; `.png`, `.svg` or `.pdf`.
    """
    from matplotlib.figure import Figure

    image = shown_image(states, ("chain", "step"))
    steps = states["step"].values
    if image is not None:
        figure = Figure(
            figsize=(0.6 * len(steps) + 0.4, 0.7 * image.sizes["chain"] + 0.3), dpi=120, layout="constrained"
        )
        grid(figure, image.values, [f"chain {i}" for i in range(image.sizes["chain"])], [str(s) for s in steps])
        return save(figure, Path(out))
    scalars = {str(n): v.values for n, v in states.data_vars.items() if v.ndim == 2}
    if not scalars:
        raise UsageError("no variable is a number or an image, so the chain's states cannot be drawn")
    figure, panels = new_panels(len(scalars))
    for axes, (name, lines) in zip(panels, scalars.items(), strict=True):
        axes.plot(steps, lines.T, linewidth=1.0)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel("transition", fontsize=8)
    return save(figure, Path(out))


def _held(joint: Joint, queries: QueryBatch, chains: int) -> HeldChains:
    model, refused = joint.model, []
    if isinstance(model, Walks):
        refused = model.unwalkable(queries)
        if not refused[0]:
            return model.walk(queries, chains)
    if isinstance(model, Clamps):
        refused = model.unclampable(queries)
        if not refused[0]:
            return model.clamp(queries, chains)
    why = refused[0] if refused else f"it has no Markov chain of its own; {_HAVE}"
    raise UsageError(f"{type(model).__name__} has no film: {why}")
