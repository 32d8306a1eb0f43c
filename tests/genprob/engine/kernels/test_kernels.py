"""Kernels over reals: each leaves its law as it is, finds it from afar, and what is frozen stays."""

import math

import pytest
import torch

from genprob.engine.diagnostics import mcse_mean, rhat
from genprob.engine.kernels import HMC, MALA, ChEES, EllipticalSlice, Langevin, RandomWalk, sample
from genprob.engine.transition import Adaptive
from genprob.errors import PluginError

CHAINS = 4000
RATE = 1.5
CORRELATED = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.3], [0.0, 0.3, 4.0]], dtype=torch.float64)
PRECISION = torch.linalg.inv(CORRELATED)


def exponential(x):
    """The log of an exponential variable with a rate: skewed, so that an error of either sign shows."""
    return x[..., 0] - RATE * x[..., 0].exp()


def gaussian(x):
    return -0.5 * (x @ PRECISION * x).sum(-1)


def mixture(x):
    """Two unequal normals, half overlapping."""
    a, b = -0.5 * ((x[..., 0] + 1.5) / 0.7).square() + math.log(0.3 / 0.7), -0.5 * (x[..., 0] - 1).square()
    return torch.logaddexp(a, b + math.log(0.7))


@pytest.mark.parametrize("size", [0.15, 0.6])
def test_exact_draws_stay_exact_and_forgetful(continuous, size):
    """Chains begun in the law stay in it at any step size: mean and variance of x, with z-scores."""
    kernel = continuous(exponential)
    start = (torch.distributions.Exponential(RATE).sample((CHAINS, 1)).double() + 1e-300).log()
    at, memory = start, kernel.init(start)
    if "inner" in memory:
        # The hotter copies belong to their own laws first: exp(b x - b rate e^x), the log of a gamma variable.
        heat = memory["ladder"][1:, None, None].expand(-1, CHAINS, 1)
        hotter = torch.distributions.Gamma(heat, heat * RATE).sample().clamp(min=1e-300).log()
        memory |= {"hotter": hotter, "inner": memory["inner"] | {"size": torch.tensor([size] * 3).double()}}
    else:
        memory |= {"size": torch.tensor(size, dtype=torch.float64)}
    for _ in range(20):
        at, memory, metrics = kernel.step(at, memory)
    if "acceptance" in metrics:
        assert 0.2 < float(metrics["acceptance"].mean()) <= 1
    x = at[:, 0].exp() * RATE
    log = x.log()
    for found, wanted, sd in ((x, 1, 1), (x.square(), 2, 20**0.5), (log, -0.5772, 1.2825)):
        assert abs(float((found - wanted).mean())) * CHAINS**0.5 / sd < 4
    assert len(at.unique()) > 0.99 * CHAINS, "no two chains share their noise"
    if size > 0.5:
        assert abs(float(torch.corrcoef(torch.stack([start[:, 0], at[:, 0]]))[0, 1])) < 0.6, "the chains moved"


def test_moments_from_afar_are_within_their_errors(continuous, thin):
    """A correlated Gaussian, started wide of it: means, variances and covariances."""
    draws, stats = sample(continuous(gaussian), 4 + torch.randn(64, 3).double(), warmup=120, draws=120, thin=thin)
    assert draws.shape == (120, 64, 3) and float(rhat(draws).max()) < 1.05
    squares = draws[..., :, None] * draws[..., None, :]
    assert float((draws.mean((0, 1)) / mcse_mean(draws)).abs().max()) < 4.5
    assert float(((squares.mean((0, 1)) - CORRELATED) / mcse_mean(squares)).abs().max()) < 4.5
    sizes = stats["step_size"]
    assert bool((sizes == sizes[0]).all()), "frozen"


def test_moments_of_a_mixture_are_those_of_quadrature(continuous):
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    weight = mixture(grid).softmax(0)
    draws, _ = sample(continuous(mixture), 2 * torch.randn(128, 1).double(), warmup=60, draws=100)
    for f in (lambda x: x, torch.square, lambda x: (x > 0).double()):
        wanted = float((f(grid[:, 0]) * weight).sum())
        assert abs(float((f(draws).mean() - wanted) / mcse_mean(f(draws)))) < 4.5


def test_geweke_joint(continuous, request):
    """Parameter and data drawn from each other in turn stay in their joint law (Geweke 2004), all chains at once."""
    if request.node.callspec.params["continuous"] == "nuts_compact":
        pytest.skip("asks for some of the chains, each of which has data of its own")
    theta = torch.randn(CHAINS, 1).double()
    memory = None
    for _ in range(15):
        data = theta + 0.5 * torch.randn_like(theta)

        def posterior(x, data=data):
            # Each chain has data of its own; a ladder asks for all temperatures beside one another.
            y = data.repeat(len(x) // CHAINS, 1) if x.ndim == 2 else data
            return (-0.5 * x.square() - 2 * (y - x).square())[..., 0]

        kernel = continuous(posterior)
        if memory is None:
            memory = kernel.init(theta) | (
                {} if "inner" in kernel.init(theta) else {"size": torch.tensor(0.7).double()}
            )
        if "hotter" in memory:
            # Copies are drawn from their own laws, given the new data.
            heat = memory["ladder"][1:, None, None]
            memory |= {"hotter": 4 * data / 5 + torch.randn(2, CHAINS, 1).double() / (5 * heat).sqrt()}
        theta, memory, _ = kernel.step(theta, memory)
    x, y = theta[:, 0], data[:, 0]
    for found, wanted, variance in ((x, 0, 1), (x.square(), 1, 2), (x * y, 1, 2.25), (y.square(), 1.25, 3.125)):
        assert abs(float(found.mean() - wanted)) / (variance / CHAINS) ** 0.5 < 4
    assert abs(float((x.square() * y).mean())) / (15 * 1.25 / CHAINS) ** 0.5 < 4


SCALES = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)


def test_queries_adapt_each_by_itself(continuous):
    """Three targets of different widths in one batch: each finds its own law, step size and mass."""
    spread = SCALES[:, None, None] * torch.tensor([1.0, 2.0], dtype=torch.float64)

    def log_density(x):
        return -0.5 * ((x - spread) / spread).square().sum(-1)

    start = spread + 3 * spread * torch.randn(3, 48, 2).double()
    draws, stats = sample(continuous(log_density), start, warmup=120, draws=80)
    assert draws.shape == (80, 48, 3, 2) and stats["step_size"].shape == (80, 3)
    off = (draws - spread[:, 0]) / spread[:, 0]
    assert float((off.mean((0, 1)) / mcse_mean(off)).abs().max()) < 4.5
    assert float(((off.square().mean((0, 1)) - 1) / mcse_mean(off.square())).abs().max()) < 4.5
    per_chain = [value for value in stats.values() if value.ndim == 3]
    assert per_chain and all(value.shape == (80, 48, 3) for value in per_chain)


def test_a_kernel_is_pure(continuous):
    """The same position, memory and random numbers give the same step, and the memory passed in is left alone."""
    kernel = continuous(gaussian, warmup=4)
    at = torch.randn(6, 3).double()
    memory, found = kernel.init(at), []
    for _ in range(2):
        torch.manual_seed(3)
        new, kept, metrics = kernel.step(at, memory)
        if isinstance(kernel, Adaptive):
            kept = kernel.adapt(new, kept, metrics)
        found.append((new, kept["adapted"]))
    assert torch.equal(found[0][0], found[1][0]) and found[0][1] == 1 and memory["adapted"] == 0


def test_after_the_warmup_nothing_is_learned_any_more(continuous):
    kernel = continuous(gaussian, warmup=5)
    at = torch.randn(6, 3).double()
    memory = kernel.init(at)
    for count in range(8):
        at, memory, metrics = kernel.step(at, memory)
        learned = kernel.adapt(at, memory, metrics)
        assert (learned is memory) == (count >= 5)
        memory = learned


def test_single_precision_is_kept(continuous):
    draws, stats = sample(continuous(lambda x: -0.5 * x.square().sum(-1)), torch.randn(16, 2), warmup=20, draws=10)
    assert draws.dtype == torch.float32 and stats["step_size"].dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_everything_stays_on_the_device(continuous):
    start = torch.randn(3, 16, 2, device="cuda")
    draws, stats = sample(continuous(lambda x: -0.5 * x.square().sum(-1)), start, warmup=20, draws=10)
    assert draws.device == start.device and all(value.device == start.device for value in stats.values())
    assert rhat(draws).device == start.device


def test_a_density_of_a_wrong_shape_is_refused(continuous):
    with pytest.raises(PluginError, match="one number per"):
        kernel = continuous(lambda x: -x.square())
        at = torch.zeros(5, 2)
        kernel.step(at, kernel.init(at) | {"size": torch.ones(())})


@pytest.mark.parametrize("build", [HMC, MALA, ChEES])
def test_an_analytic_gradient_is_the_same_step(build):
    at = torch.randn(9, 3).double()
    steps = []
    for analytic in (None, lambda x: (gaussian(x), -x @ PRECISION)):
        torch.manual_seed(1)
        kernel = build(gaussian, value_and_gradient=analytic)
        steps.append(kernel.step(at, kernel.init(at))[0])
    torch.testing.assert_close(*steps)


def test_a_lasting_density_is_asked_less_often_and_gives_the_same_chain():
    start, found, asked = torch.randn(4, 9, 3).double(), [], []
    for lasting in (False, True):
        count = [0]

        def known(x, count=count):
            count[0] += 1
            return gaussian(x), -x @ PRECISION

        kernel = HMC(gaussian, 3, warmup=20, value_and_gradient=known, lasting=lasting)
        torch.manual_seed(1)
        at, memory = start, kernel.init(start)
        for _ in range(60):
            at, memory, metrics = kernel.step(at, memory)
            memory = kernel.adapt(at, memory, metrics)
        found.append(at)
        asked.append(count[0])
    assert torch.equal(*found) and asked[0] - asked[1] == 59


def test_mala_is_hmc_of_one_leapfrog():
    at, steps = torch.randn(50, 3).double(), []
    for kernel in (HMC(gaussian, 1, size=0.8), MALA(gaussian, size=0.8)):
        memory = kernel.init(at)
        torch.manual_seed(2)
        _, _, metrics = kernel.step(at, memory)
        steps.append(metrics["acceptance"])
    torch.testing.assert_close(*steps)


@pytest.mark.parametrize("kind, options, tolerance", [(HMC, {"leapfrogs": 3}, 0.16), (RandomWalk, {}, 0.1)])
def test_adaptation_reaches_its_target_and_ends(kind, options, tolerance):
    kernel = kind(lambda x: -0.5 * (x / 20).square().sum(1), warmup=240, **options)
    at = torch.randn(64, 2, dtype=torch.float64)
    memory, sizes, rates = kernel.init(at), [], []
    for _ in range(280):
        at, memory, metrics = kernel.step(at, memory)
        memory = kernel.adapt(at, memory, metrics)
        sizes.append(float(memory["size"]))
        rates.append(float(metrics["acceptance"].mean()))
    assert len(set(sizes[239:])) == 1 and len(set(sizes[:239])) > 200
    assert sum(rates[240:]) / 40 == pytest.approx(kernel.target, abs=tolerance)


def test_a_trajectory_into_nowhere_is_refused_and_told():
    kernel = HMC(lambda x: torch.where(x[:, 0] > 0, torch.nan, -x[:, 0].square()), 1, size=1.0)
    start = torch.full((50, 1), -1e-3)
    at, _, metrics = kernel.step(start, kernel.init(start))
    assert bool((at <= 0).all()) and 0 <= float(metrics["acceptance"].mean()) < 1
    assert 0 < int(metrics["diverging"].sum()) < 50


def test_unadjusted_langevin_is_wrong_by_what_is_known_and_says_so():
    """On a normal of variance v its variance is v / (1 - size^2 / (4 v)); no accept step, and no claim of one."""
    kernel = Langevin(lambda x: -0.5 * x[:, 0].square(), size=1.0)
    at, memory = torch.randn(CHAINS, 1).double() * (4 / 3) ** 0.5, {}
    for _ in range(15):
        at, memory, _ = kernel.step(at, memory)
    assert abs(float(at.var()) / (4 / 3) - 1) < 4 * (2 / CHAINS) ** 0.5
    assert kernel.adjusted is False and HMC.adjusted and RandomWalk.adjusted


def test_langevin_can_be_clipped_and_cooled():
    steep = Langevin(lambda x: -1e6 * x.square().sum(-1), size=1.0, clip=0.5, noise=0.0)
    at = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(steep.step(at, {})[0], torch.tensor([[2.7, 3.6]]))


@pytest.mark.parametrize("dense", [False, True])
def test_elliptical_slices_of_a_normal_prior(dense):
    """A normal likelihood on a normal prior: the posterior in closed form."""
    covariance = CORRELATED if dense else CORRELATED.diagonal().diag()
    mean, y = torch.tensor([1.0, 0.0, -2.0]).double(), torch.tensor([0.0, 2.0, 1.0]).double()
    scale = torch.linalg.cholesky(covariance) if dense else covariance.diagonal().sqrt()
    kernel = EllipticalSlice(lambda x: -0.5 * (x - y).square().sum(-1), mean, scale, dense)
    gain = covariance @ torch.linalg.inv(covariance + torch.eye(3))
    wanted, spread = mean + gain @ (y - mean), covariance - gain @ covariance
    draws, stats = sample(kernel, mean + torch.randn(2, 64, 3).double(), warmup=20, draws=100)
    assert draws.shape == (100, 64, 2, 3) and float(stats["evaluations"].min()) >= 1
    off = draws - wanted
    squares = off[..., :, None] * off[..., None, :]
    assert float((off.mean((0, 1)) / mcse_mean(off)).abs().max()) < 4.5
    assert float(((squares.mean((0, 1)) - spread) / mcse_mean(squares)).abs().max()) < 4.5
