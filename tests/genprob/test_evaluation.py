import json
import time

import numpy as np
import pytest

import genprob
from genprob.errors import DataError, PluginError, UsageError
from genprob.evaluation import DEFAULT, evaluate, summary


@pytest.fixture(scope="module")
def data(table):
    return table


@pytest.fixture(scope="module")
def joint(table, schema):
    return genprob.fit(table, schema=schema, components=2, steps=15)


def test_the_default_set_is_labelled_and_can_be_written(joint, data, tmp_path):
    tree = genprob.evaluate(joint, data, rows=40, draws=10)
    assert tuple(tree.children) == DEFAULT
    score = tree["log_likelihood"]["log_likelihood"]
    assert (
        score.attrs["kind"] == "exact"
        and score.attrs["units"] == "nats per row"
        and "counting" in score.attrs["measure"]
    )
    assert float(score) == pytest.approx(float(joint.log_prob(data)["log_prob"].mean()))
    assert tree["log_likelihood"]["log_likelihood_rows"].sizes["row"] == 90
    masked = tree["masked"]
    assert masked["crps_rows"].sizes["row"] == 40 and (masked["row"].values < 90).all()
    assert masked["crps_by_share"].dims == ("share",) and masked["share"].values.tolist() == [0.25, 0.5, 0.75, 1.0]
    genprob_file = tmp_path / "scores.nc"
    from genprob.results.file import write

    write(tree, genprob_file)
    again = genprob.open(genprob_file)
    assert float(again["masked"]["crps"]) == float(masked["crps"])
    assert again["masked"]["crps"].attrs["better"] == "lower"
    assert json.loads(again.attrs["provenance"])["seed"] == 0 and again.attrs["rows"] == 90


def test_the_same_seed_gives_the_same_numbers(joint, data):
    one, two, three = (
        float(evaluate(joint, data, "masked", seed, rows=30, draws=10)["masked"]["crps"]) for seed in (0, 0, 1)
    )
    assert one == two != three


@pytest.mark.parametrize(
    "metrics, settings",
    [
        (["masked"], {"draws": 7, "shares": "0.5"}),
        ("masked", {"masked.draws": "7", "masked.shares": (0.5,)}),
        ({"masked": {"draws": 7, "shares": (0.5,)}}, {}),
        ({"masked": {"draws": 7, "shares": 0.5}}, {"draws": 99}),
        (["genprob:masked"], {"draws": np.int64(7), "shares": "0.5"}),
    ],
)
def test_options_reach_their_metric_in_every_form(joint, data, metrics, settings):
    tree = evaluate(joint, data, metrics, rows=20, **settings)
    (group,) = tree.children.values()
    given = json.loads(group.attrs["settings"])
    assert given["draws"] == 7 and given["shares"] == [0.5] and given["rows"] == 20 and given["seed"] == 0
    assert group["crps_by_share"].sizes["share"] == 1


def test_an_option_goes_to_every_metric_that_has_it(joint, data):
    tree = evaluate(joint, data, ["masked", "calibration", "log_likelihood"], rows=15, **{"calibration.draws": 5})
    settings = {name: json.loads(node.attrs["settings"]) for name, node in tree.children.items()}
    assert settings["masked"]["rows"] == settings["calibration"]["rows"] == 15
    assert settings["masked"]["draws"] == 100 and settings["calibration"]["draws"] == 5


@pytest.mark.parametrize(
    "metrics, settings, message",
    [
        ("maskd", {}, "did you mean 'masked'"),
        ([], {}, "at least one metric"),
        ("masked", {"drws": 3}, "did you mean 'draws'"),
        ("masked", {"masked.drws": 3}, "did you mean 'draws'"),
        ("masked", {"calibration.draws": 3}, "'calibration' is not evaluated"),
        ({"masked": {"drws": 3}}, {}, "did you mean 'draws'"),
        ("masked", {"draws": "many"}, "expected int"),
        ("masked", {"draws": 2.5}, "expected int"),
        ("masked", {"draws": 1}, "metric masked: draws=1"),
        ("memorisation", {}, "metric memorisation: needs the rows"),
    ],
)
def test_what_cannot_be_meant(joint, data, metrics, settings, message):
    with pytest.raises(UsageError, match=message):
        evaluate(joint, data, metrics, **settings)


def test_data_without_the_joints_variables(joint):
    with pytest.raises(DataError, match="'q'"):
        evaluate(joint, {"q": [1.0, 2.0]})
    with pytest.raises(UsageError, match="seed"):
        evaluate(joint, {"x": [1.0, 2.0]}, seed=-1)


def test_a_joint_without_log_probability_is_evaluated_by_the_rest_of_the_default_set(joint, data):
    class Silent:
        schema, run, model, sample, query = joint.schema, None, joint.model, joint.sample, joint.query

        def log_prob(self, data, seed=0):
            raise UsageError("Silent has no log-probability")

    tree = evaluate(Silent(), data, rows=10, draws=5)
    assert tuple(tree.children) == ("masked", "calibration") and "log_likelihood is left out" in tree.attrs["notes"]
    with pytest.raises(UsageError, match="no log-probability"):
        evaluate(Silent(), data, ["log_likelihood"])


def test_a_third_partys_metric(site, joint, data):
    site.install(
        "their-metrics",
        "theirs",
        """
        import numpy as np
        from genprob.metrics.score import Result, averaged
        from genprob.spec import MetricSpec

        class Rows:
            def __init__(self, *, factor: float = 1.0):
                self.factor = factor

            def __call__(self, joint, data):
                cells = np.full(data.sizes["row"], self.factor)
                return Result((averaged("factor", cells, units="", better="higher"),))

        class Number:
            def __call__(self, joint, data):
                return 3.0

        def genprob_metrics():
            names = {"rows": "Rows", "number": "Number"}
            return [MetricSpec(name, f"{__name__}:{attr}", "a metric") for name, attr in names.items()]
        """,
    )
    assert float(evaluate(joint, data, "rows", factor="2.5")["rows"]["factor"]) == 2.5
    with pytest.raises(PluginError, match="returned float"):
        evaluate(joint, data, "number")


def test_the_summary_has_one_row_per_number(joint, data):
    rows = summary(evaluate(joint, data, "masked", rows=30, draws=10))
    whole = [row for row in rows if not row["where"]]
    assert {row["score"] for row in whole} == {"crps", "energy", "log_loss"}
    shares = [row["where"]["share"] for row in rows if row["score"] == "crps_by_share"]
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert all({"metric", "value", "se", "n", "units", "better", "kind", "measure"} <= set(row) for row in rows)


def test_labels_alone_arrays_one_column_and_one_row():
    rng = np.random.default_rng(0)
    tables = (
        {"a": rng.choice(["u", "v"], 60).astype(object), "b": rng.choice(["p", "q"], 60).astype(object)},
        {"image": rng.integers(0, 2, (60, 3, 3)), "g": rng.choice(["p", "q"], 60).astype(object)},
        {"x": rng.standard_normal(60)},
    )
    for data in tables:
        joint = genprob.fit(data, components=1, steps=3)
        rows = summary(evaluate(joint, data, draws=10))
        assert all(np.isfinite(row["value"]) for row in rows if not row["where"])
        one = {name: values[:1] for name, values in data.items()}
        rows = summary(evaluate(joint, one, draws=10))
        assert all(np.isnan(row["se"]) for row in rows if not row["where"])


@pytest.mark.slow
def test_the_default_set_takes_less_than_half_a_minute_on_5000_rows():
    rng = np.random.default_rng(0)
    data = {f"x{i}": rng.standard_normal(5000).round(2) for i in range(7)} | {
        f"g{i}": rng.choice(["a", "b", "c"], 5000).astype(object) for i in range(3)
    }
    joint = genprob.fit(data, components=5, steps=5)
    started = time.monotonic()
    evaluate(joint, data)
    assert time.monotonic() - started < 30
