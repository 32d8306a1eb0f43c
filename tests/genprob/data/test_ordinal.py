"""Labels that go from low to high: read, stated, kept, and given as a range."""

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob.data.infer import infer_schema
from genprob.data.schema_file import from_toml, to_toml
from genprob.data.support import Categorical, parse
from genprob.errors import UsageError
from genprob.query.grammar import parse_given, parse_given_json
from genprob.results.vocabulary import parse_schema
from genprob_cli import app

SIZES = ("small", "middle", "large", "extra large")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    code = rng.integers(0, 4, 400)
    size = pd.Categorical.from_codes(code, list(SIZES), ordered=True)
    return pd.DataFrame({"x": code + 0.5 * rng.normal(size=400), "size": size})


@pytest.fixture(scope="module")
def joint(frame, tmp_path_factory):
    return genprob.fit(frame, components=4, out=tmp_path_factory.mktemp("ordinal") / "run")


def test_the_text_form_is_read_back():
    for text in ("ordinal(a,b)", "ordinal", 'ordinal("a, b",c)'):
        assert parse(text).text() == text
    assert parse("ordinal(a,b)") != parse("categorical(a,b)")
    assert parse("ordinal(a,b)").kind == "categorical"


def test_ordered_labels_of_a_frame_are_ordinal_and_stay_so(frame, joint):
    schema = infer_schema(genprob.read(frame))
    assert schema["size"].support == Categorical(SIZES, ordered=True)
    assert "low to high" in (schema["size"].note or "")
    assert from_toml(to_toml(schema)) == schema
    assert joint.schema["size"].support == schema["size"].support
    again = infer_schema(joint.sample(50))
    assert again["size"].support == schema["size"].support
    plain = frame.assign(size=frame["size"].cat.as_unordered())
    assert infer_schema(genprob.read(plain))["size"].support == Categorical(SIZES)


def test_an_answer_that_was_written_knows_the_order(joint, tmp_path):
    joint.query("size", {"x": 1.0}, draws=10, out=tmp_path / "a.nc")
    kept = parse_schema(str(genprob.open(tmp_path / "a.nc").attrs["schema"]))
    assert kept["size"].support == Categorical(SIZES, ordered=True)


@pytest.mark.parametrize(
    ("range_", "members"),
    [((None, "middle"), SIZES[:2]), (("middle", "large"), SIZES[1:3]), (("large", None), SIZES[2:]),
     (("small", "small"), SIZES[:1])],
)  # fmt: skip
def test_a_range_is_the_set_of_its_levels(joint, range_, members):
    answers = [joint.query("x", {"size": e}, draws=20) for e in (genprob.Within(*range_), genprob.OneOf(*members))]
    assert answers[0].attrs["log_evidence"] == answers[1].attrs["log_evidence"]
    np.testing.assert_array_equal(answers[0]["posterior"]["x"], answers[1]["posterior"]["x"])
    p = [float(joint.probability({"size": e}, {"x": 1.5})) for e in (genprob.Within(*range_), genprob.OneOf(*members))]
    assert p[0] == p[1]


@pytest.mark.parametrize(
    ("text", "within"),
    [("size=small..large", ("small", "large")), ("size=..middle", (None, "middle")),
     ("size=extra large..", ("extra large", None)), ("size in middle..large", ("middle", "large"))],
)  # fmt: skip
def test_the_grammar_knows_ranges_of_levels(joint, text, within):
    assert parse_given(joint.schema, text) == ("size", genprob.Within(*within))
    assert parse_given_json(joint.schema, {"size": {"within": list(within)}}) == {"size": genprob.Within(*within)}


@pytest.mark.parametrize(
    ("text", "message"),
    [("size=large..small", "above the upper"), ("size=tiny..small", "no levels of 'size'"), ("size=..", "no levels")],
)
def test_ranges_that_cannot_be_meant(joint, text, message):
    with pytest.raises(UsageError, match=message):
        parse_given(joint.schema, text)


def test_a_range_upside_down_and_one_of_unordered_labels_are_refused(joint, frame):
    with pytest.raises(UsageError, match="upside down; from low to high"):
        joint.query("x", {"size": genprob.Within("large", "small")})
    other = genprob.fit(frame.assign(size=frame["size"].astype(str)), components=1)
    with pytest.raises(UsageError, match=r"give OneOf.*ordinal\(low"):
        other.query("x", {"size": genprob.Within("large", None)})


def test_an_order_is_stated_on_the_command_line_and_not_guessed_from_the_alphabet(frame, tmp_path, capsys):
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", str(tmp_path / "t.csv"), "--set", "components=1", "--out", str(tmp_path / "run")]
    assert app.run([*words, "--support", "size=ordinal"]) == 2
    assert "which order?" in capsys.readouterr().err
    assert app.run([*words, "--support", f"size=ordinal({','.join(SIZES)})"]) == 0
    capsys.readouterr()
    assert app.run(["query", str(tmp_path / "run"), "--target", "x", "--given", "size=..middle"]) == 0


def test_numbers_as_labels_have_an_order():
    schema = infer_schema(
        genprob.read({"grade": ["10", "9", "1", "9"]}, schema={"grade": "ordinal"}), {"grade": "ordinal"}
    )
    assert schema["grade"].support == Categorical(("1", "9", "10"), ordered=True)
