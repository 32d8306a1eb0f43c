"""The content digest: one sha256 over the groups, variables, attributes and values of a file.

It is a function of the content as stored, not of the bytes of the file: chunks, compression and the order in which
parts were written do not enter. Values are hashed in C order, so a variable that grows along its first dimension is
hashed as it grows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Digest:
    """A digest in the making."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Any]] = {}
        self._heads: dict[tuple[str, str], dict[str, Any]] = {}
        self._values: dict[tuple[str, str], Any] = {}

    def group(self, path: str, attrs: Mapping[str, Any]) -> None:
        """States a group and its attributes."""
        self._groups[path] = _canonical(attrs)

    def variable(
        self, group: str, name: str, dims: Sequence[str], shape: Sequence[int], dtype: str, attrs: Mapping[str, Any]
    ) -> None:
        """States a variable; once more when it has grown."""
        head = {"dims": list(dims), "shape": [int(n) for n in shape], "dtype": dtype, "attrs": _canonical(attrs)}
        self._heads[group, name] = head

    def values(self, group: str, name: str, data: np.ndarray) -> None:
        """The next values of a variable, in C order."""
        sha = self._values.setdefault((group, name), hashlib.sha256())
        if data.dtype.kind == "S":
            # Each text with its end, so that the width of the field does not matter.
            texts = data.reshape(-1).tolist()
            sha.update(b"\0".join(texts) + b"\0" if texts else b"")
        else:
            sha.update(np.ascontiguousarray(data, data.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        empty = hashlib.sha256()
        variables = [
            [group, name, head, self._values.get((group, name), empty).hexdigest()]
            for (group, name), head in sorted(self._heads.items())
        ]
        document = {"groups": sorted(self._groups.items()), "variables": variables}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The type as the digest knows it: `text`, or numpy's name without byte order."""
    return "text" if dtype.kind == "S" else dtype.name


def _canonical(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in attrs.items() if name != "genprob_digest"}


def _value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.name, [_value(item) for item in value.tolist()]]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return ["float", value.hex()]
    return [type(value).__name__, str(value)]
