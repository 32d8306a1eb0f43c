from genprob.data.known import Known
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Count, Real

SCHEMA = Schema(
    (Variable("x", Real()), Variable("g", Categorical(("a",))), Variable("id", Real(), role="ignored")), "patient"
)


def test_nothing():
    known = Known.of(None)
    assert known.names == () and known.sample_dim is None and known.variable("x") is None and not known.ignored("x")


def test_a_schema_names_what_it_models():
    known = Known.of(SCHEMA)
    assert known.names == ("x", "g") and known.sample_dim == "patient"
    assert known.variable("g") == SCHEMA["g"] and known.variable("id") is None and known.variable("other") is None
    assert known.ignored("id") and not known.ignored("other")
    assert [known.levels(name) for name in ("x", "g", "id", "other")] == [None, ("a",), (), ()]


def test_statements_name_all_that_they_speak_of():
    known = Known.of({"n": "count", "g": "categorical", "id": "ignore"})
    assert known.names == ("n", "g", "id") and known.schema is None
    assert known.variable("n") == Variable("n", Count())
    assert [known.labelled(name) for name in ("n", "g", "id", "other")] == [False, True, True, False]
