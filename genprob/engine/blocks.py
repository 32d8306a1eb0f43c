"""Blocks: named parts of the inference state, seen as one flat tree of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from genprob.errors import PluginError


class Blocks:
    """Modules and plain tensors under one flat namespace `"block.path" -> tensor`; each tensor is stored once.

    Arguments:
        modules: block name -> module; its parameters and buffers appear as `"block.name"`.
        tensors: flat name -> tensor for state that belongs to no module (chains, sufficient statistics).
    """

    def __init__(self, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor] | None = None) -> None:
        self.modules = dict(modules)
        self.tensors = dict(tensors or {})

    def __getitem__(self, name: str) -> Tensor:
        return self.flat()[name]

    def flat(self) -> dict[str, Tensor]:
        """Every tensor by its name; a tensor shared between modules appears under its first name only."""
        out: dict[str, Tensor] = {}
        seen: set[int] = set()
        for block, module in self.modules.items():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    out[f"{block}.{name}"] = tensor
        out.update(self.tensors)
        return out

    def parameters(self, patterns: Iterable[str]) -> dict[str, nn.Parameter]:
        """Trainable tensors whose names match; a pattern that matches nothing is a `PluginError`."""
        return {k: t for k, t in self.select(patterns).items() if isinstance(t, nn.Parameter)}

    def select(self, patterns: Iterable[str]) -> dict[str, Tensor]:
        """Tensors whose names match any pattern (`"encoder.*"`)."""
        flat, out = self.flat(), {}
        for pattern in patterns:
            found = {k: t for k, t in flat.items() if fnmatchcase(k, pattern)}
            if not found:
                raise PluginError(f"no block matches {pattern!r}; there are {', '.join(sorted(flat))}")
            out.update(found)
        return out

    @torch.no_grad()
    def assign(self, updates: Mapping[str, Tensor]) -> None:
        """Writes new values; module tensors in place, free tensors by replacement (their shape may change)."""
        flat = self.flat()
        for name, value in updates.items():
            if name in self.tensors or name not in flat:
                self.tensors[name] = value
            elif flat[name].shape != value.shape:
                raise PluginError(f"block {name!r} has shape {tuple(flat[name].shape)}, not {tuple(value.shape)}")
            else:
                flat[name].copy_(value)
