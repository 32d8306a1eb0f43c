"""State: everything a checkpoint needs to continue an inference bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genprob.engine.blocks import Blocks
from genprob.engine.randomness import Randomness

Memory = dict[str, Any]
"""What one move remembers between steps: nested dicts and lists of tensors and JSON scalars."""


@dataclass
class State:
    """Blocks, the memory of each move, and where the inference stands.

    Attributes:
        blocks: what is being inferred.
        rng: the state's own random numbers.
        memory: move (or observer) name -> its memory.
        phase: index of the current phase.
        step: engine steps done in all.
        phase_step: engine steps done in the current phase.
        horizon: total number of steps planned.
        finished: True once a condition, not the number of steps, has ended the inference for good.
    """

    blocks: Blocks
    rng: Randomness
    memory: dict[str, Memory] = field(default_factory=dict)
    phase: int = 0
    step: int = 0
    phase_step: int = 0
    horizon: int = 1
    finished: bool = False

    def tree(self) -> dict[str, Any]:
        """A nested dict of tensors and scalars: what a checkpoint holds. Its tensors are live: save, then step on."""
        return {
            "blocks": dict(self.blocks.flat()),
            "memory": self.memory,
            "rng": dict(self.rng.states),
            "phase": self.phase,
            "step": self.step,
            "phase_step": self.phase_step,
            "finished": self.finished,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Takes over a copy of a checkpoint's tree, on the state's device; modules are written in place.

        Raises `PluginError` where the tree belongs to other blocks.
        """
        self.blocks.restore(_copied(tree["blocks"], self.rng.device))
        self.memory = _copied(tree["memory"], self.rng.device)
        self.rng.states.update(_copied(tree["rng"], torch.device("cpu")))
        self.phase, self.step, self.phase_step = tree["phase"], tree["step"], tree["phase_step"]
        self.finished = tree["finished"]


def _copied(value: Any, device: torch.device) -> Any:
    """Nested dicts, lists and tuples with every tensor copied to `device`."""
    if isinstance(value, Tensor):
        return value.to(device, copy=True)
    if isinstance(value, dict):
        return {key: _copied(item, device) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item, device) for item in value)
    return value
