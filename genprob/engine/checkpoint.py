"""Checkpoints: nested dicts of tensors and plain values, on disk without a pickle.

A checkpoint is a folder with `state.safetensors` (every tensor under the JSON pointer of its place) and `state.json`
(everything else, the structure, and the digests of both files).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from genprob import atomic, sealed
from genprob.errors import CorruptFileError, UsageError

TENSORS, STRUCTURE = "state.safetensors", "state.json"
_FORMAT = 1


def save(path: str | Path, tree: dict[Any, Any]) -> Path:
    """Writes `tree` to the folder `path`, whole or not at all; a checkpoint that was there is replaced.

    Leaves are tensors (any device; stored on the CPU, contiguous, without gradient), None, bool, int of any size,
    float (NaN and infinities included) and str; containers are dict (str or int keys), list and tuple. A tensor
    object, or two equal views of one storage, that appear twice are stored once and are one tensor after `load`;
    views that merely overlap become separate tensors.

    Raises `UsageError` naming the place of any other leaf, `ResourceError` when the disk is full.
    """
    path = Path(path)
    with atomic.replacing(path) as folder:
        write(folder, path, tree)
    return path


def write(folder: Path, path: Path, tree: dict[Any, Any]) -> None:
    """Makes `folder` and writes the two files there; `path` is where it will be, for messages. Raises as `save`."""
    tensors: dict[str, torch.Tensor] = {}
    structure = _flatten(tree, "", tensors, {})
    atomic.require_space(path, sum(t.numel() * t.element_size() for t in tensors.values()))
    folder.mkdir()
    safetensors.torch.save_file({name: _dense(t) for name, t in tensors.items()}, folder / TENSORS)
    document = {"format": _FORMAT, "tensors": sealed.fingerprint(folder / TENSORS), "tree": structure}
    (folder / STRUCTURE).write_text(sealed.dumps(document))


def load(path: str | Path) -> dict[Any, Any]:
    """The tree that `save` wrote, tensors on the CPU. Raises `CorruptFileError` if one bit of it was altered."""
    path = Path(path)
    document = sealed.read(path / STRUCTURE)
    if document.get("format") != _FORMAT:
        raise CorruptFileError(f"{path / STRUCTURE}: format {document.get('format')} is unknown to this version")
    sealed.check(path / TENSORS, document["tensors"])
    try:
        # Cloned: the originals are backed by the file, which may be pruned while they live.
        tensors = {k: t.clone() for k, t in safetensors.torch.load_file(path / TENSORS).items()}
        return _restore(document["tree"], tensors)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{path}: its two files do not belong together ({error})") from None


def verify(path: str | Path) -> None:
    """`CorruptFileError` unless both files are as they were written."""
    document = sealed.read(Path(path) / STRUCTURE)
    sealed.check(Path(path) / TENSORS, document["tensors"])


# A plain JSON object stands for a dict with string keys; anything JSON lacks is an object with one of these keys,
# and a dict whose own keys look like one is written as a list of items.
_TENSOR, _TUPLE, _FLOAT, _ITEMS = "$tensor", "$tuple", "$float", "$items"


def _flatten(value: Any, place: str, tensors: dict[str, torch.Tensor], seen: dict[Any, str]) -> Any:
    if isinstance(value, torch.Tensor):
        return {_TENSOR: _store(value, place, tensors, seen)}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if isinstance(value, (list, tuple)):
        items = [_flatten(item, f"{place}/{i}", tensors, seen) for i, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise UsageError(
                    f"checkpoint: key {key!r} under {place or '/'} is a {type(key).__name__}, not str or int"
                )
        items = [(key, _flatten(item, f"{place}/{_step(key)}", tensors, seen)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(items)
        return {_ITEMS: [[key, item] for key, item in items]}
    raise UsageError(
        f"checkpoint: {place} is a {type(value).__module__}.{type(value).__qualname__}; "
        "only tensors, dicts, lists, tuples, str, int, float, bool and None can be kept"
    )


def _store(tensor: torch.Tensor, place: str, tensors: dict[str, torch.Tensor], seen: dict[Any, str]) -> str:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise UsageError(
            f"checkpoint: {place} is a {tensor.layout} {tensor.device} tensor; only dense ones can be kept"
        )
    plain = tensor.detach()
    view = (plain.data_ptr(), plain.dtype, tuple(plain.shape), plain.stride(), plain.is_conj(), plain.is_neg())
    if plain.numel() and (plain.device, view) in seen:
        return seen[plain.device, view]
    if plain.numel():
        seen[plain.device, view] = place
    tensors[place] = plain
    return place


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """Contiguous, on the CPU, and copied even if it was: two tensors of a file may not share memory."""
    plain = tensor.resolve_conj().resolve_neg()
    return plain.to("cpu", copy=True, memory_format=torch.contiguous_format)


def _step(key: str | int) -> str:
    """One step of a JSON pointer; `~n` marks an int, so that 1 and "1" differ."""
    return f"~n{key}" if isinstance(key, int) else key.replace("~", "~0").replace("/", "~1")


def _restore(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _FLOAT in value:
        return float(value[_FLOAT])
    if _TUPLE in value:
        return tuple(_restore(item, tensors) for item in value[_TUPLE])
    if _ITEMS in value:
        return {key: _restore(item, tensors) for key, item in value[_ITEMS]}
    return {key: _restore(item, tensors) for key, item in value.items()}
