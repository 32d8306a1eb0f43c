import pytest

from genprob.data.measure import Cell, Lebesgue
from genprob.data.schema import Variable
from genprob.data.statement import Statement, statements
from genprob.data.support import Categorical, Count, Interval, Real
from genprob.errors import UsageError


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("count", Statement(Count())),
        ("interval(0, 1)", Statement(Interval(0, 1))),
        ("categorical", Statement(Categorical())),
        ("ignore", Statement(role="ignored")),
        ("cell(0.5)", Statement(measure=Cell(0.5))),
        (Count(), Statement(Count())),
        (Lebesgue(), Statement(measure=Lebesgue())),
        (Variable("other", Real(), unit="m"), Statement(Real(), Lebesgue(), "m")),
        ({"support": "real", "measure": "cell(1)", "unit": "m"}, Statement(Real(), Cell(1.0), "m")),
        ({"role": "ignored"}, Statement(role="ignored")),
    ],
)
def test_forms(what: object, statement: Statement):
    assert statements({"x": what}) == {"x": statement}


@pytest.mark.parametrize("what", ["reel", "cell(0)", 3, None, {"suport": "real"}, {"role": "target"}])
def test_nonsense_names_the_variable(what: object):
    with pytest.raises(UsageError, match="'x'"):
        statements({"x": what})
