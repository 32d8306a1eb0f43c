"""JSON documents that know when they were altered."""

import numpy as np
import pytest

from genprob import sealed
from genprob.errors import CorruptFileError

DOCUMENT = {"b": 1, "a": [1.5, None, "ä", {"x": True}], "digest_of": "y"}


def test_round_trip_keeps_content_and_order(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(sealed.dumps(DOCUMENT))
    assert sealed.read(path) == DOCUMENT
    assert list(sealed.read(path)) == list(DOCUMENT)


def test_every_bit_and_every_truncation_is_seen(tmp_path):
    path = tmp_path / "a.json"
    raw = sealed.dumps(DOCUMENT).encode()
    for bit in range(8 * len(raw)):
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(altered)
        with pytest.raises(CorruptFileError, match=r"a\.json"):
            sealed.read(path)
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        with pytest.raises(CorruptFileError):
            sealed.read(path)


def test_not_a_number_is_not_json():
    with pytest.raises(ValueError, match="JSON"):
        sealed.dumps({"x": np.nan})


def test_check_names_the_file_and_what_is_wrong(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    entry = sealed.fingerprint(path)
    sealed.check(path, entry)
    path.write_bytes(b"12346")
    with pytest.raises(CorruptFileError, match="a: altered"):
        sealed.check(path, entry)
    path.write_bytes(b"1234")
    with pytest.raises(CorruptFileError, match="4 bytes instead of 5"):
        sealed.check(path, entry)
    path.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        sealed.check(path, entry)
