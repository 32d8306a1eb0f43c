"""History: the metrics of a fit along its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from genprob.engine.run import Run

if TYPE_CHECKING:
    import xarray as xr

RECORDS = 1000
"""About so many steps of a fit are recorded."""


class History:
    """Records a run's metrics as a function of the step alone, so that a resumed fit tells the same story.

    Metrics stay tensors until `flush`, so that recording waits for no device.

    Arguments:
        run: where they are logged.
        horizon: steps planned; about `RECORDS` of them are recorded, the first and the last among them.
    """

    def __init__(self, run: Run, horizon: int) -> None:
        self.run, self.horizon, self.stride = run, horizon, max(1, horizon // RECORDS)
        self._waiting: list[tuple[int, dict[str, Tensor | float]]] = []

    def record(self, step: int, metrics: Mapping[str, Tensor | float], *, always: bool = False) -> None:
        """Takes the metrics of a step, if it is one that is kept."""
        if always or step == 1 or step % self.stride == 0 or step == self.horizon:
            self._waiting.append((step, dict(metrics)))

    def flush(self) -> None:
        """Writes what was taken to the run's events."""
        for step, metrics in self._waiting:
            self.run.log(step, {name: float(value) for name, value in metrics.items()})
        self._waiting = []


def as_dataset(events: Sequence[Mapping[str, Any]], attrs: Mapping[str, Any]) -> xr.Dataset:
    """A run's events with metrics as variables along `step`, NaN where a step has none of that name.

    >>> as_dataset([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], {})["loss"].values
    array([2., 1.])
    """
    import numpy as np
    import xarray as xr

    steps = {event["step"]: event for event in events}
    names = dict.fromkeys(name for event in events for name in event if name != "step")
    columns = {n: ("step", np.array([e.get(n, np.nan) for e in steps.values()], dtype=np.float64)) for n in names}
    return xr.Dataset(columns, {"step": np.array(list(steps), dtype=np.int64)}, dict(attrs))
