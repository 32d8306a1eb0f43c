import pytest

from genprob.data.measure import Cell, Counting, Lebesgue
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob.errors import UsageError


def test_columns_follow_the_variables():
    schema = Schema(
        (Variable("x", Real()), Variable("im", Binary(), dims=("r", "c"), shape=(2, 3)), Variable("g", Categorical()))
    )
    assert schema.width == 8
    assert schema.slices == {"x": slice(0, 1), "im": slice(1, 7), "g": slice(7, 8)}
    assert [v.name for v in schema.columns] == ["x", *["im"] * 6, "g"]


def test_default_measures():
    assert Variable("x", Real()).measure == Lebesgue()
    assert Variable("g", Binary()).measure == Counting()


@pytest.mark.parametrize(
    "options",
    [{"measure": Counting()}, {"dims": ("a",)}, {"role": "target"}],
)
def test_contradictions_are_refused(options: dict):
    with pytest.raises(UsageError, match="'x'"):
        Variable("x", Real(), **options)


def test_names():
    schema = Schema((Variable("carat", Real(), Cell(0.01)), Variable("id", Real(), role="ignored")))
    assert schema.modelled.names == ("carat",)
    assert schema["carat"].cell == Cell(0.01)
    with pytest.raises(UsageError, match="did you mean 'carat'"):
        schema["carot"]
    with pytest.raises(UsageError, match="twice"):
        Schema((Variable("x", Real()), Variable("x", Real())))
