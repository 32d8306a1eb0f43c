"""The schema travels in the file."""

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Interval, Real
from genprob.results.vocabulary import parse_schema, plain_names, schema_digest, schema_text

SCHEMA = Schema(
    (
        Variable("a/b", Categorical((" x", "y,z", "ü"))),
        Variable("a_b", Interval(0.0, 1.0), Cell(0.1, 0.05), unit="m"),
        Variable("i", Real(), dims=("y", "x"), shape=(2, 3), role="latent"),
    ),
    "case",
)


def test_round_trip():
    assert parse_schema(schema_text(SCHEMA)) == SCHEMA


def test_digest_tells_schemas_apart():
    other = Schema(SCHEMA.variables, "row")
    assert schema_digest(SCHEMA) == schema_digest(parse_schema(schema_text(SCHEMA))) != schema_digest(other)


def test_names_without_slashes_stay_apart():
    assert plain_names(SCHEMA) == {"a/b": "a_b_", "a_b": "a_b", "i": "i"}
