"""Parts put together again are the whole."""

import dataclasses

import numpy as np

from genprob.results.join import join
from genprob.results.record import Answer, Marginal


def test_join_undoes_a_cut(make_answer, cut_answer):
    whole = make_answer(queries=5)
    back = join([cut_answer(whole, slice(0, 1)), cut_answer(whole, slice(1, 4)), cut_answer(whole, slice(4, 5))])
    for field in dataclasses.fields(Answer):
        one, other = getattr(back, field.name), getattr(whole, field.name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other)
        elif field.name not in ("marginals", "given"):  # the caller words the evidence of the whole
            assert one == other, field.name
    for name, marginal in whole.marginals.items():
        for field in dataclasses.fields(Marginal):
            np.testing.assert_equal(getattr(back.marginals[name], field.name), getattr(marginal, field.name))


def test_a_part_without_points(make_answer, cut_answer):
    whole = make_answer(queries=3)
    first = dataclasses.replace(cut_answer(whole, slice(0, 2)), observed=None)
    back = join([first, cut_answer(whole, slice(2, 3))])
    assert np.isnan(back.observed[:2]).all()
    np.testing.assert_array_equal(back.observed[2], whole.observed[2])
