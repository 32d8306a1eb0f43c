from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.measure import Cell, Counting, Lebesgue
from genprob.data.schema import ROLES, Schema, Variable
from genprob.data.schema_file import from_toml, read_schema, to_toml
from genprob.data.statement import Statement
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import UsageError

words = st.text(st.characters(exclude_categories=["Cs"]))
notes = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(str.strip)
awkward = st.sampled_from(
    ['a"b', "it's", "a.b", "a, b", " pad ", "[x]", "#no", "äöü", "日本", "", "\n", "\\", "=", "\x7f"]
)
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def variables(draw: st.DrawFn) -> Variable:
    levels = draw(st.lists(st.one_of(words, awkward), unique=True, max_size=5))
    lo, width = draw(st.floats(-1e6, 1e6)), draw(st.floats(1e-3, 1e6))
    support = draw(
        st.sampled_from([Real(), Positive(), Interval(lo, lo + width), Binary(), Count(), Categorical(tuple(levels))])
    )
    reals = st.one_of(st.just(Lebesgue()), st.builds(Cell, st.floats(1e-9, 1e9), st.floats(-1e9, 1e9)))
    dims = draw(st.lists(words, max_size=2))
    return Variable(
        draw(st.one_of(words, awkward)),
        support,
        Counting() if support.discrete else draw(reals),
        tuple(dims),
        tuple(draw(st.lists(st.integers(1, 99), min_size=len(dims), max_size=len(dims)))),
        draw(st.one_of(st.none(), words)),
        draw(st.sampled_from(ROLES)),
        draw(st.one_of(st.none(), notes.filter(bool))),
    )


@given(st.lists(variables(), unique_by=lambda v: v.name, min_size=1, max_size=4), words.filter(bool))
def test_reads_back_exactly(found: list[Variable], dim: str):
    schema = Schema(tuple(found), dim)
    assert from_toml(to_toml(schema)) == schema


def test_is_made_to_be_read():
    text = to_toml(Schema((Variable("carat", Positive(), Cell(0.01), note="guessed: a grid"),)))
    assert '[variable.carat]\n# guessed: a grid\nsupport = "positive"\nmeasure = "cell(0.01)"\n' in text


def test_edits_are_taken():
    text = to_toml(Schema((Variable("x", Real()), Variable("g", Categorical(("a", "b"))))))
    edited = text.replace('"real"', '"interval(0, 1)"').replace("categorical(a,b)", "categorical(b, a, c)")
    schema = from_toml(edited)
    assert schema["x"].support == Interval(0, 1)
    assert schema["g"].support == Categorical(("b", "a", "c"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", ["s.toml", "TOML"]),
        ("", ["s.toml", "no variable"]),
        ("rows = 1", ["s.toml", "'rows'"]),
        ("sample_dim = 3\n[variable.x]\nsupport='real'", ["sample_dim"]),
        ("[variable]\nx = 'real'", ["'x'", "table"]),
        ("[variable.x]\nmeasure = 'lebesgue'", ["'x'", "'support'"]),
        ("[variable.x]\nsupport = 3", ["'x'", "'support'", "3"]),
        ("[variable.x]\nsupport = 'reel'", ["'x'", "'support'", "reel"]),
        ("[variable.x]\nsupport = 'real'\nmeasure = 'cell'", ["'x'", "'measure'"]),
        ("[variable.x]\nsupport = 'real'\nsuport = 'real'", ["'x'", "'suport'"]),
        ("[variable.x]\nsupport = 'real'\nmeasure = 'counting'", ["'x'", "real", "Counting"]),
        ("[variable.x]\nsupport = 'real'\ndims = 'y'", ["'x'", "'dims'"]),
        ("[variable.x]\nsupport = 'real'\ndims = ['y']\nshape = [0]", ["'x'", "'shape'"]),
        ("[variable.x]\nsupport = 'real'\ndims = ['y']", ["'x'", "dims", "shape"]),
        ("[variable.x]\nsupport = 'real'\nrole = 'target'", ["'x'", "'target'"]),
        ("[variable.x]\nsupport = 'real'\n[variable.x]\nsupport = 'real'", ["s.toml"]),
    ],
)
def test_faults_name_file_variable_and_key(text: str, words: list[str]):
    with pytest.raises(UsageError) as caught:
        from_toml(text, "s.toml")
    message = str(caught.value)
    assert message.startswith("s.toml: ") and "\n" not in message
    for word in words:
        assert word in message


def test_every_way_to_give_a_schema(tmp_path: Path):
    schema = Schema((Variable("x", Real()),))
    path = tmp_path / "s.toml"
    path.write_text(to_toml(schema), encoding="utf-8")
    assert read_schema(path) == read_schema(str(path)) == read_schema(schema) == schema
    assert read_schema({"n": "count"}) == {"n": Statement(Count())}
    path.write_bytes(b"\xff\xfe")
    for bad in (tmp_path / "none.toml", path, tmp_path, 3):
        with pytest.raises(UsageError):
            read_schema(bad)
