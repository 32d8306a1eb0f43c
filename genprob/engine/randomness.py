"""Own random state: swapped in for a stretch of work and out again, so that a caller's random numbers never move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Randomness:
    """A state of torch's default generators (CPU, and the CUDA device in use if any).

    Arguments:
        seed: any integer; the CPU generator uses its low 32 bits.
        device: the device whose generator is carried along.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.states: dict[str, Tensor] = {"cpu": torch.Generator().manual_seed(seed % 2**32).get_state()}
        if self.device.type == "cuda":
            self.states["cuda"] = torch.Generator(self.device).manual_seed(seed % 2**32).get_state()

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within the block torch draws from this state; afterwards the outer state stands as it was."""
        outer = self._exchange(self.states)
        try:
            yield
        finally:
            self.states = self._exchange(outer)

    def _exchange(self, new: dict[str, Tensor]) -> dict[str, Tensor]:
        old = {"cpu": torch.default_generator.get_state()}
        torch.default_generator.set_state(new["cpu"])
        if self.device.type == "cuda":
            generator = torch.cuda.default_generators[self.device.index or 0]
            old["cuda"] = generator.get_state()
            generator.set_state(new["cuda"])
        return old
