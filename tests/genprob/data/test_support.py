import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real, Support, parse
from genprob.errors import UsageError

finite = st.floats(allow_nan=False, allow_infinity=False)
ends = st.tuples(finite, finite).filter(lambda pair: pair[0] < pair[1])
supports = st.one_of(
    st.sampled_from([Real(), Positive(), Binary(), Count()]),
    ends.map(lambda pair: Interval(*pair)),
    st.lists(st.text(), unique=True).map(lambda levels: Categorical(tuple(levels))),
)


@given(supports)
def test_text_reads_back_exactly(support: Support):
    assert parse(support.text()) == support


@pytest.mark.parametrize(
    ("text", "support"),
    [
        (" interval( 0 ,1 ) ", Interval(0.0, 1.0)),
        ("categorical( a , b c )", Categorical(("a", "b c"))),
        ('categorical("a, b",c)', Categorical(("a, b", "c"))),
        ("categorical", Categorical()),
    ],
)
def test_hand_written_forms(text: str, support: Support):
    assert parse(text) == support


@pytest.mark.parametrize(
    "text", ["", "reel", "real(1)", "interval", "interval(1)", "interval(a, b)", "interval(1, 0)", "interval(0, inf)"]
)
def test_nonsense_is_refused(text: str):
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize("text", ["categorical(a,b,a)", 'categorical(a,"b)'])
def test_bad_levels_are_refused(text: str):
    with pytest.raises(UsageError, match="level"):
        parse(text)


@pytest.mark.parametrize(
    ("support", "inside", "outside"),
    [
        (Real(), [-1.0, 0.0], [np.inf, np.nan]),
        (Positive(), [1e-300, 2.0], [0.0, -1.0, np.inf, np.nan]),
        (Interval(0, 1), [0.5], [0.0, 1.0, -1.0, np.nan]),
        (Binary(), [0.0, 1.0], [0.5, 2.0, np.nan]),
        (Categorical(("a", "b")), [0.0, 1.0], [2.0, -1.0, 0.5, np.nan]),
        (Count(), [0.0, 7.0], [-1.0, 0.5, np.inf, np.nan]),
    ],
)
def test_membership(support: Support, inside: list[float], outside: list[float]):
    assert support.contains(np.array(inside)).all()
    assert not support.contains(np.array(outside)).any()
