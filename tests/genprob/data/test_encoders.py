"""Encoders: inverse maps, Jacobians and cell edges against autograd, scipy and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genprob.data.encoders import Encoder
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Interval, Positive, Real
from genprob.errors import UsageError

SUPPORTS = {"real": Real(), "positive": Positive(), "interval": Interval(-2.0, 5.0)}


def encoder(support, transform="support", cell=None, *, exponent=1.0, loc=0.4, scale=1.3, shift=0.2, stretch=0.8):
    """An encoder of one column with arbitrary statistics."""
    out = Encoder(Schema((Variable("x", support, cell),)), transform=transform)
    out.loc.fill_(loc)
    out.scale.fill_(scale)
    if transform == "yeo-johnson":
        out.exponent.fill_(exponent)
        out.shift.fill_(shift)
        out.stretch.fill_(stretch)
    return out


def inside(support, share):
    """Values of the support, from its near edges to far out."""
    match support:
        case Positive():
            return 10 ** (20 * share - 10)
        case Interval(lo, hi):
            return lo + (hi - lo) * (1e-9 + (1 - 2e-9) * share)
        case _:
            return 200 * share - 100


CASES = [(s, "support", 1.0) for s in SUPPORTS] + [
    (s, "yeo-johnson", e) for s in SUPPORTS for e in (0.0, 0.4, 1.0, 1.7, 2.0)
]


@pytest.mark.parametrize("support, transform, exponent", CASES)
def test_decoding_inverts_encoding(support, transform, exponent):
    law = encoder(SUPPORTS[support], transform, exponent=exponent)
    x = torch.as_tensor(inside(SUPPORTS[support], np.linspace(0, 1, 101)))[:, None]
    torch.testing.assert_close(law.decode(law.encode(x)), x, rtol=1e-7, atol=1e-9)
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    torch.testing.assert_close(law.encode(law.decode(z)), z, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("support, transform, exponent", CASES)
def test_log_jacobian_is_that_of_autograd_and_the_map_increases(support, transform, exponent):
    law = encoder(SUPPORTS[support], transform, exponent=exponent)
    x = torch.as_tensor(inside(SUPPORTS[support], np.linspace(0.01, 0.99, 99)))[:, None].requires_grad_()
    (slope,) = torch.autograd.grad(law.encode(x).sum(), x)
    assert (slope > 0).all()
    torch.testing.assert_close(law.log_jacobian(x.detach()), slope.log(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0, 1.6, 2.0])
def test_power_map_is_that_of_scipy(exponent):
    law = encoder(Real(), "yeo-johnson", exponent=exponent, loc=0.0, scale=1.0, shift=0.0, stretch=1.0)
    x = np.linspace(-8, 8, 81)
    expected = stats.yeojohnson(x, exponent)
    np.testing.assert_allclose(law.encode(torch.as_tensor(x)[:, None])[:, 0].numpy(), expected, rtol=1e-10, atol=1e-12)


def test_fitted_power_straightens_skewness():
    x = np.random.default_rng(0).gamma(1.5, size=4000) - 0.5
    law = Encoder(Schema((Variable("x", Real()),)), transform="yeo-johnson")
    values = torch.as_tensor(x)[:, None]
    law.fit(values, torch.ones_like(values, dtype=torch.bool))
    z = law.encode(values)[:, 0].numpy()
    assert stats.skew(x) > 1.4 and abs(stats.skew(z)) < 0.25
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-6)


@pytest.mark.parametrize("support", SUPPORTS)
def test_fit_standardises_known_cells_only(support):
    rng = np.random.default_rng(1)
    x = torch.as_tensor(inside(SUPPORTS[support], rng.uniform(0.2, 0.8, (500, 1))))
    observed = torch.as_tensor(rng.random((500, 1)) < 0.6)
    law = Encoder(Schema((Variable("x", SUPPORTS[support]),)))
    law.fit(torch.where(observed, x, 1.0), observed)
    z = law.encode(x)[observed]
    np.testing.assert_allclose([z.mean(), z.std(unbiased=False)], [0, 1], atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 7.0, -1e6])
def test_a_constant_column_encodes_to_zero_and_keeps_finite_scale(value):
    law = Encoder(Schema((Variable("x", Real()),)), transform="yeo-johnson")
    x = torch.full((10, 1), value, dtype=torch.float64)
    law.fit(x, torch.ones_like(x, dtype=torch.bool))
    assert law.encode(x).abs().max() == 0 and law.scale.item() > 0
    law.fit(x, torch.zeros_like(x, dtype=torch.bool))
    assert torch.isfinite(law.encode(x)).all()


@pytest.mark.parametrize("support, transform, exponent", CASES)
def test_ends_of_the_support_go_to_the_ends_of_the_line(support, transform, exponent):
    law = encoder(SUPPORTS[support], transform, exponent=exponent)
    lo, hi = {"real": (-np.inf, np.inf), "positive": (0.0, np.inf), "interval": (-2.0, 5.0)}[support]
    assert law.encode(torch.tensor([[lo], [hi]], dtype=torch.float64)).ravel().tolist() == [-np.inf, np.inf]
    outside = {"real": [], "positive": [-3.0], "interval": [-2.5, 6.0]}[support]
    for x in outside:  # ends of a range need not lie in the support
        assert not torch.isfinite(law.encode(torch.tensor([[x]], dtype=torch.float64))).any()


@pytest.mark.parametrize("support, transform, exponent", CASES)
def test_decoded_values_never_leave_the_support(support, transform, exponent):
    law = encoder(SUPPORTS[support], transform, exponent=exponent)
    z = torch.tensor([-1e3, -50.0, 0.0, 50.0, 1e3], dtype=torch.float64)[:, None]
    x = law.decode(z).numpy()
    assert SUPPORTS[support].contains(x).all(), x
    assert (np.diff(x[:, 0]) >= 0).all()


@given(
    st.integers(1, 400), st.integers(0, 5), st.integers(-5000, 5000), st.floats(-0.49, 0.49), st.sampled_from([0, 1])
)
@settings(max_examples=200, deadline=None)
def test_cells_give_back_the_exact_table_value(step, decimals, index, wobble, transform):
    delta = step / 10**decimals
    law = encoder(Real(), ("support", "yeo-johnson")[transform], Cell(delta), exponent=0.7)
    table = float(f"{index * step}e-{decimals}")
    x = torch.tensor([[table + wobble * delta]], dtype=torch.float64)
    assert law.snap(x).item() == table
    assert law.snap(law.decode(law.encode(x))).item() == table


@pytest.mark.parametrize("support, transform, exponent", CASES)
def test_cell_edges_hold_exactly_the_values_of_the_cell(support, transform, exponent):
    cell = Cell(0.25, 0.1)
    law = encoder(SUPPORTS[support], transform, cell, exponent=exponent)
    rng = np.random.default_rng(2)
    x = torch.as_tensor(rng.uniform(0.01, 4.9, 400))[:, None]
    lo, hi = law.edges(law.snap(x))
    z = law.encode(x)
    assert ((lo <= z) & (z <= hi)).all()
    nearest = torch.as_tensor(rng.uniform(0.01, 4.9, 400))[:, None]
    same = law.snap(nearest) == law.snap(x)
    z = law.encode(nearest)
    assert (((lo <= z) & (z <= hi)) == same).all() and 0 < same.sum() < 400
    assert torch.equal(lo[1:][law.snap(x)[1:] == law.snap(x)[:-1]], lo[:-1][law.snap(x)[1:] == law.snap(x)[:-1]])


def test_cells_are_cut_at_the_ends_of_the_support():
    law = encoder(Interval(0.0, 1.0), cell=Cell(0.1))
    lo, hi = law.edges(torch.tensor([[0.0], [0.5], [1.0]], dtype=torch.float64))
    assert lo[0] == -np.inf and hi[2] == np.inf and torch.isfinite(torch.cat([hi[0], lo[1], hi[1], lo[2]])).all()
    edge = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert torch.isfinite(law.encode(law.inside(edge))).all()
    np.testing.assert_allclose(law.inside(edge).ravel(), [0.025, 0.975])


def test_a_column_by_itself_is_the_column_of_the_whole():
    schema = Schema(
        (
            Variable("g", Categorical(("a", "b"))),
            Variable("x", Real(), Cell(0.5)),
            Variable("y", Positive()),
            Variable("z", Interval(0, 3), dims=("t",), shape=(2,)),
        )
    )
    law = Encoder(schema, transform="yeo-johnson")
    assert law.columns == [1, 2, 3, 4]
    rng = np.random.default_rng(3)
    x = torch.as_tensor(rng.uniform(0.2, 2.8, (50, 4)))
    law.fit(x, torch.ones_like(x, dtype=torch.bool))
    z = law.encode(x)
    for c in range(4):
        torch.testing.assert_close(law.encode_column(c, x[:, c]), z[:, c])
        torch.testing.assert_close(law.decode_column(c, z[:, c]), x[:, c])
        torch.testing.assert_close(law.snap_column(c, x[:, c]), law.snap(x)[:, c])


@pytest.mark.parametrize("support", SUPPORTS)
def test_nearest_inside_moves_only_what_lies_outside(support):
    law = encoder(SUPPORTS[support])
    x = torch.tensor([-9.0, -2.0, 0.5, 4.5, 5.0, 9.0], dtype=torch.float64)
    moved = law.nearest_inside(0, x, 0.1)
    assert SUPPORTS[support].contains(moved.numpy()).all()
    assert torch.equal(moved[2:4], x[2:4])


def test_an_unknown_transform_is_refused():
    with pytest.raises(UsageError, match="transform 'log' is not one of: support, yeo-johnson"):
        Encoder(Schema((Variable("x", Real()),)), transform="log")


@pytest.mark.parametrize("support", SUPPORTS)
def test_the_slope_makes_a_narrow_cells_probability_of_a_density(support):
    x = torch.tensor([[1.0], [2.5], [4.0]], dtype=torch.float64)
    free, law = encoder(SUPPORTS[support]), encoder(SUPPORTS[support], cell=Cell(1e-3, 0.0))
    torch.testing.assert_close(free.log_slope(x), free.log_jacobian(x))
    low, high = law.edges(x)
    mass = stats.norm.cdf(high.numpy()) - stats.norm.cdf(low.numpy())
    np.testing.assert_allclose(
        stats.norm.logpdf(law.encode(x).numpy()) + law.log_slope(x).numpy(), np.log(mass), atol=1e-5
    )
