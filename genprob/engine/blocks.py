"""Blocks: named parts of the inference state, seen as one flat tree of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import is_
from typing import Any

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
        self._census = Census.of(self.modules)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name] if name in self.tensors else self.census().tensors[name]

    def flat(self) -> dict[str, Tensor]:
        """Every tensor by its name; a tensor shared between modules appears under its first name only."""
        return self.census().tensors | self.tensors

    def census(self) -> Census:
        """The modules' tensors as they are now: the very object of the last call unless one was replaced."""
        if not self._census.holds():
            self._census = Census.of(self.modules)
        return self._census

    def parameters(self, patterns: Iterable[str]) -> dict[str, nn.Parameter]:
        """Trainable tensors whose names match; `PluginError` if there is none."""
        patterns = sorted(patterns)
        found = {k: t for k, t in self.select(patterns).items() if isinstance(t, nn.Parameter) and t.requires_grad}
        if not found:
            raise PluginError(f"no trainable tensor matches {', '.join(patterns)}")
        return found

    def select(self, patterns: Iterable[str]) -> dict[str, Tensor]:
        """Tensors whose names match any pattern (`"encoder.*"`)."""
        flat, patterns = self.flat(), list(patterns)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in flat):
                raise PluginError(f"no block matches {pattern!r}; there are {', '.join(sorted(flat))}")
        return {name: tensor for name, tensor in flat.items() if matches(name, patterns)}

    def assign(self, updates: Mapping[str, Tensor]) -> None:
        """Writes new values; module tensors in place, free tensors by replacement (their shape may change)."""
        for name, value in updates.items():
            own = None if name in self.tensors else self.census().tensors.get(name)
            if own is None:
                if name.partition(".")[0] in self.modules:
                    raise PluginError(f"module {name.partition('.')[0]!r} has no tensor {name!r}")
                self.tensors[name] = value
            elif own.shape != value.shape:
                raise PluginError(f"block {name!r} has shape {tuple(own.shape)}, not {tuple(value.shape)}")
            else:
                with torch.no_grad():
                    own.copy_(value)

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Takes over what `flat` returned once; `PluginError` unless it has the very tensors of the modules."""
        self.tensors = {name: value for name, value in saved.items() if name.partition(".")[0] not in self.modules}
        lacking = sorted({*self.flat()} - {*saved})
        if lacking:
            raise PluginError(f"the checkpoint lacks {lacking[0]!r}; it was written by another version of the model")
        self.assign({name: value for name, value in saved.items() if name not in self.tensors})


def matches(name: str, patterns: Iterable[str]) -> bool:
    """True if the flat name of a block fits one of the patterns."""
    return _matches(name, frozenset(patterns))


@lru_cache(maxsize=2**16)
def _matches(name: str, patterns: frozenset[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Census:
    """The tensors of some modules by name, and what has to be as it was for the names to hold.

    To walk a tree of modules takes a hundred times as long as to see that nothing in it was replaced, and a fit
    looks several times at every step.
    """

    tensors: dict[str, Tensor]
    owners: list[dict[str, Any]]
    sizes: list[int]
    entries: tuple[list[dict[str, Any]], list[str], list[object]]
    _foreign: dict[frozenset[str], tuple[dict[str, Tensor], dict[str, Tensor]]] = field(default_factory=dict)

    @classmethod
    def of(cls, modules: dict[str, nn.Module]) -> Census:
        tensors: dict[str, Tensor] = {}
        seen: set[int] = set()
        for block, module in modules.items():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    tensors[f"{block}.{name}"] = tensor
        parts = {id(part): part for module in modules.values() for part in module.modules()}.values()
        owners: list[dict[str, Any]] = [modules]
        owners += [owner for part in parts for owner in (part._parameters, part._buffers, part._modules)]
        found = [(owner, name, value) for owner in owners for name, value in owner.items()]
        entries = ([f[0] for f in found], [f[1] for f in found], [f[2] for f in found])
        return cls(tensors, owners, [len(owner) for owner in owners], entries)

    def holds(self) -> bool:
        """True if every module has the very parameters, buffers and parts that it had."""
        owners, names, values = self.entries
        return list(map(len, self.owners)) == self.sizes and all(map(is_, map(dict.get, owners, names), values))

    def foreign(self, writes: frozenset[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The parameters, and the buffers, that none of the patterns matches."""
        if writes not in self._foreign:
            rest = {name: tensor for name, tensor in self.tensors.items() if not matches(name, writes)}
            buffers = {name: tensor for name, tensor in rest.items() if not isinstance(tensor, nn.Parameter)}
            self._foreign[writes] = {name: rest[name] for name in rest if name not in buffers}, buffers
        return self._foreign[writes]
