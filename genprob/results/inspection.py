"""Looking over a file before a value is read: it may hold only what we write, and nothing that points outside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genprob.errors import CorruptFileError

# gzip, shuffle, fletcher32: any other filter would have HDF5 load code from the system.
_FILTERS = {1, 2, 3}
# deflate's best is about 1030 to 1; a file that declares more was not filled by us.
_RATIO = 1100
_SLACK = 1 << 20
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_signature(path: Path) -> None:
    """`CorruptFileError` unless the file begins as HDF5."""
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise CorruptFileError(f"{path}: is empty")
    if head != _SIGNATURE:
        raise CorruptFileError(f"{path}: is not a file of ours (not HDF5, or its beginning is damaged)")


def inspect(path: Path, root: Any) -> int:
    """Walks an open `h5py.File`; the bytes that its arrays declare.

    Raises `CorruptFileError` naming what is not allowed: links (soft, external), external storage, virtual data sets,
    foreign filters or types, sizes that the file cannot hold.
    """
    size = path.stat().st_size
    seen: set[Any] = set()
    declared = 0
    pending = [("", root)]
    while pending:
        where, group = pending.pop()
        _check_attributes(path, where or "/", group, size)
        for name in group:
            place = f"{where}/{name}"
            declared += _visit(path, place, group, name, size, seen, pending)
    if declared > size * _RATIO + _SLACK:
        raise CorruptFileError(f"{path}: declares {declared:,} bytes but has {size:,}")
    return declared


def _visit(path: Path, place: str, group: Any, name: str, size: int, seen: set[Any], pending: list[Any]) -> int:
    import h5py

    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
        raise CorruptFileError(f"{path}: {place} is {kind}; a file of ours has none")
    item = group[name]
    if item.id in seen:
        raise CorruptFileError(f"{path}: {place} is linked twice; a file of ours has no such links")
    seen.add(item.id)
    if isinstance(item, h5py.Group):
        pending.append((place, item))
        return 0
    if not isinstance(item, h5py.Dataset):
        raise CorruptFileError(f"{path}: {place} is neither a group nor an array")
    _check_attributes(path, place, item, size)
    return _check_dataset(path, place, item, size)


def _check_dataset(path: Path, place: str, item: Any, size: int) -> int:
    import h5py

    plist = item.id.get_create_plist()
    if item.is_virtual:
        raise CorruptFileError(f"{path}: {place} is a virtual data set, which points to other files")
    if plist.get_external_count():
        raise CorruptFileError(f"{path}: {place} is stored in another file")
    foreign = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())} - _FILTERS
    if foreign:
        raise CorruptFileError(f"{path}: {place} uses the HDF5 filter {min(foreign)}, which a file of ours does not")
    if item.shape is None or item.dtype.kind not in "iufS" or h5py.check_vlen_dtype(item.dtype) is not None:
        raise CorruptFileError(f"{path}: {place} holds {item.dtype} values, which a file of ours does not")
    nbytes = int(item.nbytes)
    # A dimension without labels is an array without values, and never read.
    if item.is_scale and item.id.get_storage_size() == 0:
        return 0
    if nbytes > item.id.get_storage_size() * _RATIO + _SLACK or nbytes > size * _RATIO + _SLACK:
        raise CorruptFileError(
            f"{path}: {place} declares {nbytes:,} bytes but has {item.id.get_storage_size():,} of them stored"
        )
    return nbytes


def _check_attributes(path: Path, place: str, item: Any, size: int) -> None:
    import h5py

    for index in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=index)
        if attribute.get_storage_size() > size:
            name = attribute.name.decode(errors="replace")
            raise CorruptFileError(f"{path}: attribute {name!r} of {place} declares more bytes than the file has")
