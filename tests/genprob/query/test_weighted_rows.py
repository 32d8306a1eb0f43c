"""Weighted rows: draws are the rows chosen, marginals those of the weights."""

import numpy as np
import torch

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Real
from genprob.query.batch import QueryBatch
from genprob.query.weighted_rows import WeightedRows


def test_rows_are_drawn_whole_and_weighed():
    schema = Schema((Variable("x", Real()), Variable("b", Binary())), "row")
    values = np.array([[[1.0, 0.0], [2.0, 1.0], [4.0, 1.0]], [[0.0, 1.0], [5.0, 0.0], [7.0, 0.0]]])
    weight = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]).log() - 3.0  # any constant
    cloud = WeightedRows(QueryBatch.empty(schema, 2), values, weight)
    np.testing.assert_array_equal(
        cloud.draw(torch.tensor([[2, 0], [1, 1]])), values[[[0, 0], [1, 1]], [[2, 0], [1, 1]]]
    )
    found = cloud.marginals(("x", "b"))
    np.testing.assert_allclose(found["x"].mean, [2.0, 5.0])
    np.testing.assert_allclose(found["b"].pmf, [[0.5, 0.5], [1.0, 0.0]])
