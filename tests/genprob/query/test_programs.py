"""Latent programs against truth: factor analysis by Gaussian algebra, one latent of everything by quadrature."""

import math

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Categorical as Choice
from pyro.distributions import Normal
from scipy import stats
from torch import nn

import genprob
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.errors import PluginError
from genprob.joint import Joint
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Conditions, Draws, Proposes, ScoresRows
from genprob.query.programs import LatentProgram, capable
from genprob_mixture.mixture import Mixture

REALS = Schema(tuple(Variable(name, Real()) for name in ("a", "b", "c", "d")))
EVERYTHING = Schema(
    (
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("u", Interval(0, 10)),
        Variable("c", Real(), Cell(0.5)),
        Variable("b", Binary()),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
    )
)


class FactorAnalysis(Model):
    """x = W z + m + noise."""

    def __init__(self, schema, *, latent: int = 2):
        super().__init__(schema)
        self.latent = latent
        self.decoder = nn.Linear(latent, self.emission_width)
        self.encoder = nn.Linear(self.feature_width, 2 * latent)

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", Normal(0.0, 1.0).expand([self.latent]).to_event(1))
            self.emit(self.decoder(z), batch)

    def guide(self, batch):
        loc, log_scale = self.encoder(self.features(batch)).chunk(2, -1)
        with batch.plate():
            pyro.sample("z", Normal(loc, log_scale.exp()).to_event(1))


def joint_of(schema, values, **options):
    """A joint with loadings drawn at random and a guide that points the right way, roughly."""
    torch.manual_seed(3)
    model = capable(FactorAnalysis)(schema, **options)
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(values)), len(values))
    model.prepare(batch, seed=0)
    with torch.no_grad():
        model.decoder.weight.normal_(0, 0.8)
        model.decoder.bias.normal_(0, 0.3)
        model.heads.log_scale.uniform_(-1.2, -0.3)
        model.encoder.weight.zero_()
        model.encoder.bias.zero_()
        reals = len(model.heads.reals)
        loading = model.decoder.weight[:reals].double()
        precision = model.heads.scale() ** -2
        posterior = torch.linalg.inv(torch.eye(model.latent) + loading.T * precision @ loading)
        gain = posterior @ (loading.T * precision)
        model.encoder.weight[: model.latent, :reals] = gain
        model.encoder.bias[: model.latent] = -(gain @ model.decoder.bias[:reals].double())
        model.encoder.bias[model.latent :] = posterior.diagonal().sqrt().log()
    model.eval()
    return Joint(schema, model, run=None, reference=batch, rows=len(values))


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(0)
    return joint_of(REALS, torch.as_tensor(rng.normal(size=(300, 4)) * [1, 2, 0.5, 30] + [0, 5, -3, 1e6]))


@pytest.fixture(scope="module")
def gaussian(factors):
    """Mean and covariance in data units."""
    model = factors.model
    heads, encoder = model.heads, model.heads.encoder
    unit = encoder.scale.numpy()
    loading = model.decoder.weight.detach().double().numpy() * unit[:, None]
    mean = model.decoder.bias.detach().double().numpy() * unit + encoder.loc.numpy()
    return mean, loading @ loading.T + np.diag((heads.scale().detach().numpy() * unit) ** 2)


def conditional(mean, covariance, known, value):
    unknown = ~known
    gain = covariance[np.ix_(unknown, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    centre = mean[unknown] + gain @ (value - mean[known])
    return centre, covariance[np.ix_(unknown, unknown)] - gain @ covariance[np.ix_(known, unknown)]


# --- against Gaussian algebra


def test_draws_have_the_moments_of_the_joint(factors, gaussian):
    drawn = factors.sample(20_000, seed=1)
    rows = np.stack([drawn[v].values for v in "abcd"], 1)
    mean, covariance = gaussian
    unit = np.sqrt(np.diag(covariance))
    assert np.allclose((rows.mean(0) - mean) / unit, 0, atol=0.04)
    assert np.allclose(np.cov(((rows - mean) / unit).T), covariance / np.outer(unit, unit), atol=0.05)


def test_log_prob_within_its_error_for_every_mask(factors, gaussian):
    mean, covariance = gaussian
    rng = np.random.default_rng(1)
    rows = rng.multivariate_normal(mean, covariance, 60)
    rows[rng.random(rows.shape) < 0.4] = np.nan
    rows = rows[~np.isnan(rows).all(1)]
    scored = factors.log_prob({v: rows[:, i] for i, v in enumerate("abcd")})
    known = ~np.isnan(rows)
    exact = [
        stats.multivariate_normal(mean[k], covariance[np.ix_(k, k)]).logpdf(r[k])
        for r, k in zip(rows, known, strict=True)
    ]
    error = scored["standard_error"].values
    assert scored.attrs["kind"] == "estimate" and (error > 0).all() and error.mean() < 0.2
    off = (scored["log_prob"].values - exact) / error
    assert np.abs(off).max() < 4.5 and 0.4 < off.std() < 1.3


def test_conditionals_and_evidence_of_points(factors, gaussian):
    mean, covariance = gaussian
    known = np.array([False, True, True, False])
    value = mean[known] + np.array([1.5, -0.3])
    answer = factors.query(["a", "d"], {"b": value[0], "c": value[1]}, draws=4000)
    centre, spread = conditional(mean, covariance, known, value)
    drawn = np.stack([answer["posterior"][v].values.ravel() for v in "ad"], 1)
    assert answer.attrs["strategy"] == "importance" and answer.attrs["guarantee"] == "consistent"
    assert answer.attrs["reliable"] == 1 and answer.attrs["khat"] < 0.7
    unit = np.sqrt(np.diag(spread))
    assert np.allclose((drawn.mean(0) - centre) / unit, 0, atol=0.12)
    assert np.allclose(np.cov(drawn.T) / np.outer(unit, unit), spread / np.outer(unit, unit), atol=0.15)
    exact = stats.multivariate_normal(mean[known], covariance[np.ix_(known, known)]).logpdf(value)
    assert abs(answer.attrs["log_evidence"] - exact) < 4 * answer.attrs["log_evidence_se"]
    marginal = answer["marginals"]
    assert abs(float(marginal["a_mean"]) - centre[0]) < 4 * float(marginal["a_mcse"])
    assert float(marginal["a_quantile"].sel(quantile=0.975)) == pytest.approx(centre[0] + 1.96 * unit[0], abs=0.3)


def test_the_evidence_is_estimated_without_bias(factors, gaussian):
    """The mean of many estimates from a handful of particles each, where a log would be far too low."""
    mean, covariance = gaussian
    value = mean + np.sqrt(np.diag(covariance)) * [1.0, -0.5, 0.8, 0.3]
    batch = QueryBatch.from_values(REALS, np.repeat(value[None], 4000, 0))
    torch.manual_seed(0)
    cloud = factors.model.propose(batch, 20)
    ratio = torch.exp(
        torch.logsumexp(cloud.log_weight, 1) - stats.multivariate_normal(mean, covariance).logpdf(value)
    ).detach()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(ratio))


def test_a_guide_that_points_elsewhere_costs_particles_not_truth(factors, gaussian):
    mean, covariance = gaussian
    bias = factors.model.encoder.bias.detach().clone()
    try:
        with torch.no_grad():
            factors.model.encoder.bias[:2] += 6.0
        batch = QueryBatch.from_values(REALS, mean[None])
        torch.manual_seed(1)
        found = torch.logsumexp(factors.model.propose(batch, 40_000).log_weight, 1)
    finally:
        with torch.no_grad():
            factors.model.encoder.bias.copy_(bias)
    exact = stats.multivariate_normal(mean, covariance).logpdf(mean)
    assert float(found) == pytest.approx(exact, abs=0.1)


def test_support_knows_usual_from_unusual(factors, gaussian):
    mean, covariance = gaussian
    far = mean[1] + 9 * np.sqrt(covariance[1, 1])
    assert factors.query(["a"], {"b": mean[1]}).attrs["support"] == "ok"
    assert factors.query(["a"], {"b": far}).attrs["support"] == "fail"


@pytest.mark.slow
def test_the_audit_finds_nothing_wrong(factors):
    cells = factors.audit(queries=50, shares=(0.5,), kinds=("points", "ranges"), strategy="importance")
    assert (cells["verdict"] == "ok").all(), cells


# --- one latent, every support, every kind of evidence: quadrature over the latent


@pytest.fixture(scope="module")
def everything():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    columns = [
        x, np.exp(x), 10 / (1 + np.exp(-x)), np.round(2 * x) / 2, rng.random(300) < 0.4,
        rng.choice(3, 300, p=[0.2, 0.5, 0.3]), rng.poisson(4, 300),
    ]  # fmt: skip
    return joint_of(EVERYTHING, torch.as_tensor(np.stack(columns, 1).astype(float)), latent=1)


class Quadrature:
    """log p(evidence) by a grid over z, each likelihood with scipy alone."""

    def __init__(self, model):
        self.z = np.linspace(-8, 8, 1201)
        heads, encoder = model.heads, model.heads.encoder
        weight, bias = model.decoder.weight.detach().double().numpy(), model.decoder.bias.detach().double().numpy()
        self.out = self.z[:, None] * weight[:, 0] + bias + heads.offset.numpy()
        self.scale = heads.scale().detach().numpy()
        self.loc, self.unit = encoder.loc.numpy(), encoder.scale.numpy()
        self.size = float(heads.log_size.detach().exp()[0])

    def raw(self, name):
        """The normal law of x, log p, logit(u / 10) and c."""
        at = "xpuc".index(name)
        return stats.norm(self.out[:, at] * self.unit[at] + self.loc[at], self.scale[at] * self.unit[at])

    def count(self):
        mean = np.exp(self.out[:, 5])
        return stats.nbinom(self.size, self.size / (self.size + mean))

    def likelihood(self, name, value):
        if name in "xpuc":
            law = self.raw(name)
            line = {"x": float, "c": float, "p": np.log, "u": lambda v: np.log(v / (10 - v))}[name]
            slope = {"x": lambda v: 1.0, "p": lambda v: 1 / v, "u": lambda v: 10 / (v * (10 - v))}.get(name)
            match value:
                case genprob.Within(lo, hi) if name == "c":
                    return law.cdf(hi + 0.25) - law.cdf(lo - 0.25)
                case genprob.Within(lo, hi):
                    return (law.cdf(line(hi)) if hi is not None else 1.0) - law.cdf(line(lo))
                case genprob.OneOf(values):
                    return sum(law.cdf(v + 0.25) - law.cdf(v - 0.25) for v in values)
                case genprob.Soft(v, sd) if name == "c":
                    grid = np.arange(-15, 15, 0.5)[:, None]
                    return ((law.cdf(grid + 0.25) - law.cdf(grid - 0.25)) * stats.norm.pdf(v, grid, sd)).sum(0)
                case genprob.Soft(v, sd):
                    u = np.linspace(-9, 9, 1201)[:, None]
                    x = {"x": u, "p": np.exp(u), "u": 10 / (1 + np.exp(-u))}[name]
                    return np.trapezoid(law.pdf(u) * stats.norm.pdf(v, x, sd), u[:, 0], axis=0)
                case _ if name == "c":
                    return law.cdf(value + 0.25) - law.cdf(value - 0.25)
                case _:
                    return law.pdf(line(value)) * slope(value)
        if name == "n":
            law = self.count()
            match value:
                case genprob.Within(lo, hi):
                    return (law.cdf(hi) if hi is not None else 1.0) - law.cdf(lo - 1)
                case genprob.OneOf(values):
                    return sum(law.pmf(v) for v in values)
                case genprob.Soft(v, sd):
                    n = np.arange(200)[:, None]
                    return (law.pmf(n) * stats.norm.pdf(v, n, sd)).sum(0)
                case _:
                    return law.pmf(value)
        if name == "b":
            pmf = np.stack([1 / (1 + np.exp(self.out[:, 4])), 1 / (1 + np.exp(-self.out[:, 4]))])
            labels = [0, 1]
        else:
            pmf = np.exp(self.out[:, 6:])
            pmf, labels = (pmf / pmf.sum(1, keepdims=True)).T, ["a", "b", "c"]
        match value:
            case genprob.OneOf(values):
                weight = [label in values for label in labels]
            case genprob.Soft(vector):
                weight = [vector.get(label, 0.0) for label in labels]
            case _:
                weight = [label == value for label in labels]
        return np.array(weight, dtype=float) @ pmf

    def log_evidence(self, given):
        density = stats.norm.pdf(self.z)
        for name, value in given.items():
            density = density * self.likelihood(name, value)
        return float(np.log(np.trapezoid(density, self.z)))


QUESTIONS = [
    {"x": 0.7, "p": 1.8},
    {"u": 7.0, "c": 0.5, "n": 6},
    {"b": 1, "g": "c", "x": -1.0},
    {"x": genprob.Within(0.2, 1.5), "p": genprob.Within(2.0, None)},
    {"u": genprob.Within(2.0, 5.0), "c": genprob.Within(-0.5, 1.0), "n": genprob.Within(2, 5)},
    {"n": genprob.Within(9, None), "g": genprob.OneOf("a", "b")},
    {"c": genprob.OneOf(-0.5, 1.5), "n": genprob.OneOf(1, 7), "b": genprob.OneOf(0)},
    {"x": genprob.Soft(0.4, sd=0.3), "g": genprob.Soft({"a": 0.7, "b": 0.1, "c": 0.4})},
    {"p": genprob.Soft(1.2, sd=0.4), "u": genprob.Soft(6.0, sd=0.8)},
    {"c": genprob.Soft(0.3, sd=0.6), "n": genprob.Soft(5.2, sd=1.5), "b": genprob.Soft({0: 0.2, 1: 0.9})},
]


@pytest.mark.parametrize("given", QUESTIONS, ids=str)
def test_evidence_of_every_kind(everything, given):
    exact = Quadrature(everything.model).log_evidence(given)
    target = next(v.name for v in EVERYTHING if v.name not in given)
    answer = everything.query([target], given, budget=2000, strategy="importance")
    off = abs(answer.attrs["log_evidence"] - exact)
    assert off < 4.5 * answer.attrs["log_evidence_se"] + 1e-3 and answer.attrs["log_evidence_se"] < 0.2


@pytest.mark.parametrize("given", QUESTIONS, ids=str)
def test_draws_and_marginals_of_what_is_asked(everything, given):
    """P(b = 1, ...) and the like: the evidence with one more thing said, over the evidence."""
    quadrature = Quadrature(everything.model)
    truth = quadrature.log_evidence(given)
    for target, event in (("x", genprob.Within(-1.0, 0.5)), ("g", "b"), ("n", genprob.Within(3, 6))):
        if target in given:
            continue
        exact = math.exp(quadrature.log_evidence({**given, target: event}) - truth)
        answer = everything.query([target], given, draws=2000, budget=2000, strategy="importance")
        drawn = answer["posterior"][target].values.ravel()
        hit = drawn == event if isinstance(event, str) else (drawn >= event.lo) & (drawn <= event.hi)
        noise = math.sqrt(exact * (1 - exact) * (1 / 2000 + 1 / answer.attrs["ess"]))
        assert hit.mean() == pytest.approx(exact, abs=4.5 * noise)
        if target == "g":
            found = answer["marginals"]["g_pmf"].sel(g_level="b") if "g_level" in answer["marginals"].coords else None
            assert found is None or abs(float(found) - exact) < 4.5 * noise


@pytest.mark.parametrize(
    ("name", "evidence", "meets"),
    [
        ("x", genprob.Within(0.2, 1.5), lambda v: (v >= 0.2) & (v <= 1.5)),
        ("c", genprob.Within(-0.5, 1.0), lambda v: np.isin(v, [-0.5, 0.0, 0.5, 1.0])),
        ("c", genprob.OneOf(-0.5, 0.5), lambda v: np.isin(v, [-0.5, 0.5])),
        ("n", genprob.OneOf(1, 7), lambda v: np.isin(v, [1, 7])),
        ("n", genprob.Within(9, None), lambda v: (v >= 9) & (v == np.floor(v))),
        ("g", genprob.OneOf("a", "b"), lambda v: v < 2),
        ("u", genprob.Within(2.0, 5.0), lambda v: (v >= 2) & (v <= 5)),
    ],
)
def test_what_is_known_in_part_is_drawn_within_it(everything, name, evidence, meets):
    batch = QueryBatch.from_evidence(EVERYTHING, [{name: evidence}], ["b"])
    torch.manual_seed(0)
    cloud = everything.model.propose(batch, 500)
    values = cloud.draw(torch.arange(500)[None])[0]
    column = EVERYTHING.slices[name].start
    assert meets(values[:, column]).all() and len(np.unique(values[:, column])) > 1


def test_readings_draw_towards_what_they_say(everything):
    for name, value in (("x", 0.9), ("p", 2.5), ("u", 3.0), ("c", 1.0), ("n", 8.0)):
        batch = QueryBatch.from_evidence(EVERYTHING, [{name: genprob.Soft(value, sd=1e-3)}], ["b"])
        torch.manual_seed(0)
        values = everything.model.propose(batch, 200).draw(torch.arange(200)[None])[0]
        assert np.allclose(values[:, EVERYTHING.slices[name].start], value, atol=0.01)


def test_rejection_agrees_where_no_point_is_given(everything):
    given = {"x": genprob.Within(-0.5, 1.0), "g": "b"}
    exact = Quadrature(everything.model).log_evidence(given)
    answer = everything.query(["n"], given, strategy="rejection")
    assert abs(answer.attrs["log_evidence"] - exact) < 4 * answer.attrs["log_evidence_se"]
    with pytest.raises(genprob.errors.UsageError, match="'x' is given to a point"):
        everything.query(["n"], {"x": 0.5}, strategy="rejection")


# --- who is a program


def test_programs_gain_capabilities_and_others_are_left_alone():
    program = capable(FactorAnalysis)
    assert issubclass(program, FactorAnalysis) and issubclass(program, LatentProgram) and capable(program) is program
    assert program.__name__ == "FactorAnalysis" and capable(FactorAnalysis) is program
    assert all(issubclass(program, p) for p in (Draws, Proposes, ScoresRows)) and not issubclass(program, Conditions)
    assert capable(Mixture) is Mixture and capable(Model) is Model and capable(len) is len


def test_what_a_program_lacks_is_said():
    class Silent(FactorAnalysis):
        def model(self, batch):
            with batch.plate():
                pyro.sample("z", Normal(0.0, 1.0).expand([self.latent]).to_event(1))

    class Outside(FactorAnalysis):
        def model(self, batch):
            w = pyro.sample("w", Normal(0.0, 1.0))
            with batch.plate():
                z = pyro.sample("z", Normal(0.0, 1.0).expand([self.latent]).to_event(1))
                self.emit(self.decoder(z) * w, batch)

    class Deaf(FactorAnalysis):
        def __init__(self, schema):
            Model.__init__(self, schema)

    nothing = QueryBatch.empty(REALS, 1)
    with pytest.raises(PluginError, match=r"never calls self\.emit"):
        capable(Silent)(REALS).propose(nothing, 10)
    with pytest.raises(PluginError, match=r"'w' has the shape \(\) for 10 rows; every latent belongs inside"):
        capable(Outside)(REALS).propose(nothing, 10)
    with pytest.raises(PluginError, match="emits no variables"):
        capable(Deaf)(REALS).draw(3)


def test_discrete_latents_that_the_guide_leaves_out():
    """Two components, summed by enumeration in training and in queries, or drawn from the prior."""

    class Two(Model):
        def __init__(self, schema):
            super().__init__(schema)
            self.centre = nn.Parameter(torch.linspace(-1, 1, 2 * self.emission_width).reshape(2, -1))

        def model(self, batch):
            with batch.plate():
                k = pyro.sample("k", Choice(torch.tensor([0.3, 0.7])), infer={"enumerate": "parallel"})
                self.emit(self.centre[k], batch)

        def guide(self, batch):
            pass

    rng = np.random.default_rng(0)
    data = {v: rng.normal(size=120) + 3 * (rng.random(120) < 0.7) for v in "abcd"}
    joint = genprob.fit(data, Two, steps=20, seed=1)
    value = {"a": 1.0, "b": 0.5}
    heads = joint.model.heads
    z = [(value[v] - float(heads.encoder.loc[i])) / float(heads.encoder.scale[i]) for i, v in enumerate("ab")]
    parts = stats.norm.pdf(z, joint.model.centre.detach().numpy()[:, :2], heads.scale().detach().numpy()[:2])
    exact = math.log(np.array([0.3, 0.7]) @ parts.prod(1) / np.prod(heads.encoder.scale.numpy()[:2]))
    answer = joint.query(["c"], value)
    assert answer.attrs["strategy"] == "enumeration"
    assert answer.attrs["log_evidence"] == pytest.approx(exact, abs=1e-6)
    answer = joint.query(["c"], value, strategy="importance")
    assert abs(answer.attrs["log_evidence"] - exact) < 4 * answer.attrs["log_evidence_se"]


# --- end to end


def test_a_class_of_this_process_is_fitted_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(2)
    z = rng.normal(size=400)
    data = {"a": z + 0.3 * rng.normal(size=400), "b": 5 - z + 0.3 * rng.normal(size=400), "n": rng.poisson(np.exp(z))}
    data["a"][:80] = np.nan
    joint = genprob.fit(
        data, FactorAnalysis, out=tmp_path / "run", latent=1, seed=1, inference={"name": "elbo", "lr": 0.05}, steps=150
    )
    answer = joint.query(["b"], {"a": 1.5})
    assert 3.0 < float(answer["marginals"]["b_mean"]) < 4.4 and answer.attrs["computation"] == "ok"  # 5 unasked
    again = genprob.load(tmp_path / "run").query(["b"], {"a": 1.5})
    assert np.array_equal(answer["posterior"]["b"], again["posterior"]["b"])


class Apart(genprob.Model):
    """Columns that know nothing of each other."""

    def __init__(self, schema):
        super().__init__(schema)
        self.outputs = torch.nn.Parameter(torch.zeros(self.emission_width))

    def model(self, batch):
        with batch.plate():
            self.emit(self.outputs.expand(len(batch), -1), batch)

    def guide(self, batch):
        pass


def test_a_program_without_latents_is_answered_exactly():
    rng = np.random.default_rng(0)
    x, g = rng.normal(3, 2, 400), rng.choice(["a", "b"], 400, p=[0.8, 0.2])
    joint = genprob.fit({"x": x, "g": g}, Apart, steps=1)
    answer = joint.query(["g"], {"x": 5.0}, draws=50)
    assert answer.attrs["guarantee"] == "exact"
    assert float(answer["marginals"]["g_pmf"][0]) == pytest.approx(np.mean(g == "a"), abs=0.03)
    assert float(joint.probability({"g": "a"}, {"x": 5.0})) == pytest.approx(float(joint.probability({"g": "a"})))
