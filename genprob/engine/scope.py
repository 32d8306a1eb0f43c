"""Scope: what stands in place while a model runs, and is gone when the caller has its turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro.nn.module as place

from genprob.engine.randomness import Randomness


@contextmanager
def running(rng: Randomness) -> Iterator[None]:
    """Within the block random numbers come from `rng`, and pyro's parameters belong to the modules that have them.

    Otherwise two models of one kind would share the parameters of pyro's global store by their names.
    """
    # As pyro.settings.context(module_local_params=True) does, at a tenth of its price: it is paid at every step.
    before = place._MODULE_LOCAL_PARAMS
    place._MODULE_LOCAL_PARAMS = True
    try:
        with rng.swapped_in():
            yield
    finally:
        place._MODULE_LOCAL_PARAMS = before
