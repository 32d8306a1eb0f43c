"""The joint: drawing, scoring and asking, whatever the table and whatever the source of the rows."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import genprob
from genprob import joint as joints
from genprob.errors import DataError, PluginError, UsageError
from genprob.model import Model

ARRAY_DIMS = ("query", "chain", "draw")


@pytest.fixture(scope="module")
def joint(table, schema):
    return genprob.fit(table, schema=schema, components=2, steps=20)


@pytest.fixture
def frame(table):
    """Rows with holes in x, y and n; g is known everywhere."""
    rows = pd.DataFrame(table).iloc[:12].copy()
    rows.loc[rows.index[::3], "x"] = np.nan
    rows.loc[rows.index[1::4], ["y", "n"]] = np.nan
    rows["g"] = rows["g"].fillna("a")
    return rows


# --- draws


def test_draws_have_labels_dims_and_a_seed(joint):
    draws = joint.sample(50, seed=3)
    assert dict(draws.sizes) == {"draw": 50} and list(draws.data_vars) == ["x", "y", "g", "n"]
    assert draws["x"].dtype == np.float64 and draws["n"].dtype.kind == "i" and set(draws["g"].values) <= {"a", "b"}
    assert draws["draw"].values.tolist() == list(range(50))
    xr.testing.assert_identical(draws, joint.sample(50, seed=3))
    assert not draws.equals(joint.sample(50, seed=4))


@pytest.mark.parametrize("draws", [0, -1, 2.5, "3", None])
def test_a_number_of_draws_is_whole_and_positive(draws, joint):
    with pytest.raises(UsageError, match="draws="):
        joint.sample(draws)
    with pytest.raises(UsageError, match="draws="):
        joint.query(targets=["g"], draws=draws)


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None])
def test_a_seed_is_whole_and_not_negative(seed, joint, table):
    for ask in (
        lambda: joint.sample(2, seed=seed),
        lambda: joint.log_prob(table, seed=seed),
        lambda: joint.query(targets=["g"], seed=seed),
        lambda: joint.query(rows=[{"x": 1.0}], seed=seed),
    ):
        with pytest.raises(UsageError, match="seed="):
            ask()


# --- scores


def test_scores_lie_along_the_sample_dimension_with_kind_and_measure(joint, table):
    scores = joint.log_prob(table)
    assert scores["log_prob"].dims == scores["standard_error"].dims == ("row",)
    assert np.isfinite(scores["log_prob"]).all() and (scores["standard_error"] == 0).all()
    assert scores.attrs["kind"] == "exact" and "n: counting" in scores.attrs["measure"]
    assert scores["log_prob"].attrs["units"] == "nats"


def test_coordinates_of_the_rows_are_kept(joint, table):
    ds = genprob.read(table).assign_coords(row=[f"r{i}" for i in range(90)]).isel(row=[4, 2])
    assert joint.log_prob(ds)["row"].values.tolist() == ["r4", "r2"]
    np.testing.assert_array_equal(joint.log_prob(ds)["log_prob"], joint.log_prob(table)["log_prob"][[4, 2]])


def test_conditional_scores_are_differences(joint, table):
    """log p(rest | given) = log p(all) - log p(given), and the chain rule over a path of variables."""
    whole = joint.log_prob(table)["log_prob"]
    given = joint.log_prob(pd.DataFrame(table)[["x", "g"]])["log_prob"]
    rest = joint.conditional_log_prob(table, given=["x", "g"])
    np.testing.assert_allclose(rest["log_prob"], whole - given, atol=1e-9)
    assert rest["log_prob"].dims == ("row",) and rest.attrs["kind"] == "exact"
    np.testing.assert_allclose(joint.conditional_log_prob(table, given=[])["log_prob"], whole, atol=1e-12)
    np.testing.assert_allclose(joint.conditional_log_prob(table, given=["x", "y", "g", "n"])["log_prob"], 0, atol=1e-9)
    np.testing.assert_array_equal(
        joint.conditional_log_prob(table, given="x")["log_prob"], joint.conditional_log_prob(table, ["x"])["log_prob"]
    )


def test_probabilities_of_a_category_add_up_to_one(joint):
    rows = [{"x": 0.3, "n": 2, "g": g} for g in ("a", "b")]
    scores = joint.conditional_log_prob(pd.DataFrame(rows), given=["x", "n"])["log_prob"]
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-9)


def test_a_row_is_scored_by_its_known_cells(joint):
    """An unknown cell is summed out: for a count, by adding up."""
    known = joint.log_prob({"x": [0.5], "n": [np.nan]})["log_prob"].item()
    each = joint.log_prob({"x": np.full(400, 0.5), "n": np.arange(400)})["log_prob"].values
    assert np.logaddexp.reduce(each) == pytest.approx(known, abs=1e-6)
    assert joint.log_prob({"x": [np.nan]})["log_prob"].item() == pytest.approx(0.0, abs=1e-12)


def test_the_answers_evidence_is_the_score(joint):
    asked = joint.query(targets=["g"], given={"x": 0.5, "n": 3}, draws=5)
    score = joint.log_prob({"x": [0.5], "n": [3]})["log_prob"].item()
    assert asked.attrs["log_evidence"] == pytest.approx(score, abs=1e-9)


def test_scores_of_other_data_are_refused(joint):
    with pytest.raises(DataError, match="g"):
        joint.log_prob({"x": [1.0], "g": ["unheard of"]})
    with pytest.raises(UsageError, match="unknown variable 'z'"):
        joint.conditional_log_prob({"x": [1.0]}, given=["z"])


# --- one question


def test_a_single_question(joint):
    answer = joint.query(targets=["g", "n"], given={"x": 0.5}, draws=40, seed=2)
    assert set(answer["posterior"].data_vars) == {"g", "n"}
    assert answer["posterior"]["g"].dims == ("chain", "draw") and answer["posterior"].sizes["draw"] == 40
    assert set(answer["prior"].data_vars) >= {"g", "n"} and float(answer["observed_data"]["x"]) == 0.5
    assert (answer.attrs["guarantee"], answer.attrs["strategy"]) == ("exact", "closed-form")
    again = joint.query(targets=["g", "n"], given={"x": 0.5}, draws=40, seed=2)
    assert answer["posterior"].identical(again["posterior"])


def test_no_target_asks_everything_else(joint):
    answer = joint.query(given={"x": 0.5}, draws=3)
    assert set(answer["posterior"].data_vars) == {"y", "g", "n"}
    assert set(joint.query(draws=3)["posterior"].data_vars) == {"x", "y", "g", "n"}
    assert joint.query("g", {"x": 0.5}, draws=3)["posterior"].sizes["draw"] == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"targets": ["z"]}, "unknown variable 'z'"),
        ({"targets": ["g"], "given": {"g": "a"}}, "'g' is also given"),
        ({"targets": []}, "no target"),
        ({"given": {"x": 0.1, "y": 0.1, "g": "a", "n": 1}}, "every variable is given"),
        ({"targets": ["g"], "strategy": "closed-from"}, "did you mean 'closed-form'"),
        ({"targets": ["g"], "budget": 1}, "budget=1"),
        ({"targets": ["g"], "budget": 100.5}, "budget=100.5"),
        ({"given": {"x": 1.0}, "rows": [{"x": 1.0}]}, "either rows= or given="),
        ({"rows": []}, "there is no query"),
        ({"rows": [{"x": 1.0}, 3]}, r"rows\[1\] is 3"),
        ({"rows": [{"x": 0.1, "y": 0.1, "g": "a", "n": 1}]}, "every variable is given"),
    ],
)
def test_what_cannot_be_asked(arguments, message, joint):
    with pytest.raises(UsageError, match=message):
        joint.query(**arguments)


def test_strategies_by_name(joint):
    exact = joint.query(targets=["g"], given={"x": genprob.Within(0, 1)}, draws=400, strategy="closed-form")
    drawn = joint.query(targets=["g"], given={"x": genprob.Within(0, 1)}, draws=400, strategy="rejection", seed=1)
    assert (exact.attrs["strategy"], drawn.attrs["strategy"]) == ("closed-form", "rejection")
    pmf = [a["marginals"]["g_pmf"].values for a in (exact, drawn)]
    np.testing.assert_allclose(pmf[0], pmf[1], atol=0.08)


def test_an_explanation_draws_nothing(joint):
    words = joint.explain(targets=["g"], given={"x": 0.5})
    assert words.chosen == "closed-form" and "closed-form" in str(words)


def test_answers_are_written_and_read(joint, tmp_path):
    answer = joint.query(targets=["g"], given={"x": 0.5}, draws=5, out=tmp_path / "a.nc")
    back = genprob.open(tmp_path / "a.nc")
    assert back["posterior"].identical(answer["posterior"])


# --- rows with holes


def test_every_source_of_rows_is_the_same_batch(joint, frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    sources = (frame, genprob.read(frame.reset_index(drop=True)), tmp_path / "rows.csv", str(tmp_path / "rows.csv"))
    answers = [joint.query(rows=rows, draws=6, seed=1) for rows in sources]
    for answer in answers:
        posterior = answer["posterior"]
        assert set(posterior.data_vars) == {"x", "y", "n"}, "what some row asks, no more"
        assert posterior["x"].dims == ARRAY_DIMS and dict(posterior.sizes) == {"query": 12, "chain": 1, "draw": 6}
        for name in ("x", "y", "n"):
            np.testing.assert_array_equal(posterior[name], answers[0]["posterior"][name])


def test_given_values_are_repeated_and_holes_are_drawn(joint, frame):
    answer = joint.query(rows=frame, draws=30, seed=1)
    for name in ("x", "y", "n"):
        values, draws = frame[name].to_numpy(), answer["posterior"][name].values[:, 0]
        known = ~np.isnan(values)
        np.testing.assert_array_equal(draws[known], np.repeat(values[known, None], 30, axis=1))
        assert (np.ptp(draws[~known].astype(float), axis=1) > 0).all()
        sd = answer["marginals"][f"{name}_sd"].values
        assert (sd[known] == 0).all() and (sd[~known] > 0).all()
    assert answer["sample_stats"]["log_evidence"].dims == ("query",)
    assert answer.attrs["queries"] == 12 and answer.attrs["reliable"] == int(answer["sample_stats"]["reliable"].min())


def test_a_row_in_a_batch_is_the_row_alone(joint, frame):
    """In distribution: the exact marginals agree."""
    answer = joint.query(rows=frame, draws=5)
    for q in (0, 1, 5):
        row = frame.iloc[q]
        given = {k: v for k, v in row.items() if v == v}
        alone = joint.query(given=given, draws=5)
        for name in set(alone["posterior"].data_vars) & {"x", "y", "n"}:
            np.testing.assert_allclose(
                answer["marginals"][f"{name}_mean"][q], alone["marginals"][f"{name}_mean"], atol=1e-8
            )
        assert float(answer["sample_stats"]["log_evidence"][q]) == pytest.approx(alone.attrs["log_evidence"])


def test_targets_pick_among_the_holes(joint, frame):
    answer = joint.query(rows=frame, targets=["n"], draws=4)
    assert set(answer["posterior"].data_vars) == {"n"}
    for targets, message in ((["g"], "'g' is known in every row"), (["z"], "unknown variable"), ([], "no target")):
        with pytest.raises(UsageError, match=message):
            joint.query(rows=frame, targets=targets, draws=4)


def test_rows_of_evidence(joint):
    rows = [{"x": genprob.Within(0, 1)}, {"g": genprob.OneOf("a")}, {"n": genprob.Soft(3, sd=1.0)}]
    answer = joint.query(rows=rows, draws=4)
    assert set(answer["posterior"].data_vars) == {"x", "y", "g", "n"} and answer.attrs["queries"] == 3
    assert ((answer["posterior"]["x"][0] >= 0) & (answer["posterior"]["x"][0] <= 1)).all()
    assert (answer["posterior"]["g"][1] == "a").all()


def test_rows_that_ask_different_things_are_one_answer_in_parts_too(joint, monkeypatch):
    rows = [{"x": 0.5, "y": 0.1, "g": "a"}, {"x": 0.5, "n": 2, "g": "b"}, {"x": 1.0, "y": 0.1, "n": 2}]
    whole = joint.query(rows=rows, draws=4)
    monkeypatch.setattr(joints, "_CHUNK_QUERIES", 1)
    parts = joint.query(rows=rows, draws=4)
    assert layout(parts) == layout(whole) and set(parts["posterior"].data_vars) == {"y", "g", "n"}
    assert (parts["posterior"]["y"][[0, 2]] == 0.1).all() and (parts["posterior"]["g"][1] == "b").all()


def test_missing_columns_are_holes(joint):
    answer = joint.query(rows={"x": [0.5, 1.5]}, draws=3)
    assert set(answer["posterior"].data_vars) == {"y", "g", "n"}


@pytest.mark.parametrize("out", [False, True])
def test_rows_without_holes_and_no_rows(out, joint, table, tmp_path):
    whole = pd.DataFrame(table).dropna()
    keep = {"out": tmp_path / "a.nc"} if out else {}
    with pytest.raises(UsageError, match="no holes"):
        joint.query(rows=whole, draws=3, **keep)
    with pytest.raises((UsageError, DataError), match=r"no row|no query|no holes"):
        joint.query(rows=whole.iloc[:0], draws=3, **keep)
    assert not (tmp_path / "a.nc").exists()


def layout(tree):
    return {
        node.path: (
            {str(n): (v.dims, v.dtype.kind, v.shape) for n, v in node.to_dataset(inherit=False).variables.items()}
        )
        for node in tree.subtree
    }


def test_a_streamed_answer_has_the_layout_of_the_one_in_memory(joint, frame, tmp_path, monkeypatch):
    """In chunks of 5 rows, the last ones without a hole in n: the same groups, dims, kinds and exact marginals."""
    frame.loc[frame.index[5:], "n"] = 3.0
    frame.to_csv(tmp_path / "rows.csv", index=False)
    memory = joint.query(rows=frame, draws=6, seed=1)
    monkeypatch.setattr(joints, "_CHUNK_QUERIES", 5)
    streamed = joint.query(rows=tmp_path / "rows.csv", draws=6, seed=1, out=tmp_path / "a.nc")
    assert layout(streamed) == layout(memory)
    assert set(streamed.attrs) == set(memory.attrs)
    for name, variable in memory["marginals"].data_vars.items():
        np.testing.assert_allclose(streamed["marginals"][name], variable, atol=1e-9)
    for name in ("log_evidence", "reliable", "support"):
        theirs, ours = streamed["sample_stats"][name].values, memory["sample_stats"][name].values
        assert (theirs == ours).all() or np.allclose(theirs, ours)
    draws = streamed["posterior"]["x"].values
    asked = np.isnan(frame["x"].to_numpy())
    assert len(np.unique(draws[asked])) == asked.sum() * 6, "every part has random numbers of its own"
    assert joint.query(rows=frame, targets=["n"], draws=6, out=tmp_path / "b.nc")["posterior"].sizes["query"] == 12


@pytest.mark.parametrize("out", [True, False])
def test_a_long_answer_is_made_part_by_part(out, joint, tmp_path, monkeypatch):
    """No part is larger than the memory it was given, however many rows and draws are asked."""
    monkeypatch.setattr(joints, "_CHUNK_FLOATS", 40_000)
    sizes, answered = [], joints.Planner.answer

    def answer(self, queries, draws, *args, **kwargs):
        sizes.append(len(queries) * draws * queries.schema.width)
        return answered(self, queries, draws, *args, **kwargs)

    monkeypatch.setattr(joints.Planner, "answer", answer)
    rows = {"x": np.linspace(-1, 3, 60), "g": np.array([""] * 60, dtype=object)}
    tree = joint.query(rows=rows, draws=1500, out=tmp_path / "a.nc" if out else None)
    assert tree["posterior"].sizes == {"query": 60, "chain": 1, "draw": 1500}
    assert len(sizes) > 1 and max(sizes) <= 40_000


def test_one_draw(joint, frame):
    assert joint.query(rows=frame, draws=1)["posterior"].sizes["draw"] == 1
    assert joint.query(targets=["x"], given={"g": "a"}, draws=1)["posterior"]["x"].shape == (1, 1)
    assert joint.sample(1).sizes["draw"] == 1


def test_a_budget_bounds_the_proposals(joint):
    answer = joint.query(
        targets=["g"], given={"x": genprob.Within(0, 1)}, draws=10, strategy="rejection", budget=5000, seed=1
    )
    assert answer["posterior"]["g"].sizes["draw"] == 10


# --- tables at the edge

NAN = np.nan
RNG = np.random.default_rng(0)
EDGES = {
    "one row": {"x": [1.5], "g": ["a"], "n": [3]},
    "two rows": {"x": [1.5, 2.5], "g": ["a", "b"]},
    "constant columns": {"x": [1.5] * 10, "y": RNG.normal(size=10), "g": ["a"] * 10},
    "rows without a cell": {"x": [1.5, NAN, 2.5, NAN, 1.7, 3.3], "g": ["a", "", "b", "", "a", "b"]},
    "one real": {"x": RNG.normal(size=30)},
    "one category": {"g": list("abcab") * 4},
    "one count": {"n": RNG.poisson(3, 40)},
    "one binary": {"b": [True, False, True] * 5},
    "categories": {"g": list("abcab") * 4, "h": list("xyyxx") * 4},
    "counts": {"n": RNG.poisson(3, 40), "m": RNG.poisson(300, 40)},
    "rounded reals": {"x": np.round(RNG.normal(size=40), 1), "y": np.round(RNG.normal(size=40) * 9) * 5},
}
OPTIONS = {
    "chosen": {},
    "one component": {"components": 1},
    "more components than rows": {"components": 50},
    "elbo": {"inference": "elbo", "steps": 3, "components": 2},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", EDGES)
def test_tables_at_the_edge(name, options):
    table = EDGES[name]
    joint = genprob.fit(table, **OPTIONS[options])
    scores = joint.log_prob(table)
    assert np.isfinite(scores["log_prob"]).all() and (scores["standard_error"] < 0.2).all()
    draws = joint.sample(20, seed=1)
    assert set(draws.data_vars) == set(table) and not any(draws[v].isnull().any() for v in draws.data_vars)
    for known in table:
        given = {
            known: draws[known].values[0].item() if hasattr(draws[known].values[0], "item") else draws[known].values[0]
        }
        if len(table) > 1:
            answer = joint.query(given=given, draws=5, seed=1)
            assert set(answer["posterior"].data_vars) == {*table} - {known}
    assert set(joint.query(draws=5)["posterior"].data_vars) == set(table)
    if options == "more components than rows" and len(next(iter(table.values()))) < 50:
        assert any("components reduced from 50" in note for note in joint.notes)


# --- runs that another version of the model wrote


class Versioned(Model):
    """A program whose tensors depend on the version of its class."""

    shapes: dict[str, int]

    def __init__(self, schema):
        super().__init__(schema)
        self.loc = torch.nn.Parameter(torch.zeros(self.emission_width))
        for name, size in self.shapes.items():
            self.register_buffer(name, torch.zeros(size))

    def model(self, batch):
        with batch.plate():
            self.emit(self.loc.expand(len(batch), -1), batch)

    def guide(self, batch):
        pass


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"kept": 2, "new": 1}, "the checkpoint lacks 'model.new'"),
        ({}, "has no tensor 'model.kept'"),
        ({"kept": 3}, r"'model.kept' has shape \(3,\), not \(2,\)"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_in_one_line(shapes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(Versioned, "shapes", {"kept": 2}, raising=False)
    data = {"x": [0.5, 1.25, 0.75]}
    genprob.fit(data, Versioned, out=tmp_path / "run", steps=2)
    monkeypatch.setattr(Versioned, "shapes", shapes)
    for again in (
        lambda: genprob.load(tmp_path / "run"),
        lambda: genprob.fit(data, Versioned, out=tmp_path / "run", steps=4, resume=True),
    ):
        with pytest.raises(PluginError, match=message) as caught:
            again()
        assert "\n" not in str(caught.value)
