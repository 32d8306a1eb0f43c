"""The digest sees every change of the content and nothing else."""

import numpy as np

from genprob.results.digest import Digest


def digest(values=(1.0, 2.0), attrs=None, dims=("x",), name="v", cuts=(), group="/", root=None):
    d = Digest()
    d.group(group, {"a": 1.0} if root is None else root)
    data = np.asarray(values)
    for piece in np.split(data, cuts):
        d.values(group, name, piece)
    dtype = "text" if data.dtype.kind == "S" else data.dtype.name
    d.variable(group, name, dims, data.shape, dtype, {"u": "kg"} if attrs is None else attrs)
    return d.hexdigest()


def test_every_part_counts():
    variants = [
        digest(),
        digest(values=(1.0, 2.5)),
        digest(values=np.float32([1.0, 2.0])),
        digest(values=[1, 2]),
        digest(values=[[1.0], [2.0]], dims=("x", "y")),
        digest(attrs={"u": "g"}),
        digest(attrs={}),
        digest(attrs={"u": 1}),
        digest(attrs={"u": 1.0}),
        digest(attrs={"u": np.array([1, 2])}),
        digest(dims=("y",)),
        digest(name="w"),
        digest(group="/g"),
        digest(root={"a": 1}),
        digest(root={"a": -0.0}),
        digest(root={"a": 0.0}),
        digest(values=[b"1", b"2"]),
        digest(values=[b"12", b""]),
    ]
    assert len(set(variants)) == len(variants)


def test_cuts_widths_and_byte_order_do_not_count():
    assert digest() == digest(cuts=(1,)) == digest(values=np.array([1.0, 2.0], ">f8"))
    assert digest(values=[b"a", b"b"]) == digest(values=np.array([b"a", b"b"], "S9"), cuts=(1,))
    assert digest(root={"a": np.float64(1)}) == digest(root={"a": 1.0})
    assert digest(root={"a": 1.0, "genprob_digest": "x"}) == digest()
