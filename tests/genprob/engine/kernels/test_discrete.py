"""Discrete kernels: transition matrices counted from every state, against the law and the formula by enumeration."""

from itertools import product

import pytest
import torch

from genprob.engine.kernels import (
    BinaryGibbs,
    BlockGibbs,
    GibbsWithGradients,
    ReplicaExchange,
    SingleSiteGibbs,
    coloured,
    enumerated,
)
from genprob.engine.kernels.gibbs import bernoulli, categorical

SPINS = 3
COUPLING = torch.tensor([[0.0, 1.2, -0.7], [1.2, 0.0, 0.5], [-0.7, 0.5, 0.0]], dtype=torch.float64)
FIELD = torch.tensor([0.3, -0.8, 0.4], dtype=torch.float64)
STATES = torch.tensor(list(product([0.0, 1.0], repeat=SPINS)), dtype=torch.float64)

CATEGORIES = 3
POTTS = torch.tensor(list(product([0.0, 1.0, 2.0], repeat=2)), dtype=torch.float64)
TABLE = torch.tensor([[0.0, 1.0, -0.5], [0.7, -1.0, 0.2], [0.0, 0.4, 1.5]], dtype=torch.float64)
COPIES = 20_000


def ising(x):
    return 0.5 * ((x @ COUPLING) * x).sum(-1) + x @ FIELD


def cubic(x):
    """Not linear along a flip, so that the gradient misleads and the accept step has work."""
    return ising(x) + 1.5 * x.prod(-1)


def potts(x):
    a, b = x[..., 0].long(), x[..., 1].long()
    return TABLE[a, b]


def one_hot_potts(x):
    """The table with a square in it: the gradient at a corner is not the difference."""
    together = torch.einsum("...a,...b->...ab", x[..., 0, :], x[..., 1, :])
    return (together * TABLE).sum((-2, -1)) + 0.8 * (x[..., 0, 1] + x[..., 1, 1]).square()


def counted(kernel, states, encode=lambda x: x, decode=lambda x: x):
    """The transition matrix of one step from every state, by many copies, and the states' indices."""
    base = torch.tensor([float(states.max() + 1) ** k for k in range(states.shape[1] - 1, -1, -1)], dtype=states.dtype)
    start = states.repeat_interleave(COPIES, 0)
    at = encode(start)
    new, _, metrics = kernel.step(at, kernel.init(at))
    assert all(value.shape == (len(at),) for value in metrics.values())
    to = (decode(new) @ base).long().reshape(len(states), COPIES)
    return torch.stack([torch.bincount(row, minlength=len(states)) for row in to]).double() / COPIES


def agrees(found, wanted):
    """Counted and computed matrices, entry by entry, in standard errors."""
    error = (wanted * (1 - wanted) / COPIES).sqrt()
    assert bool((found[error == 0] == wanted[error == 0]).all())
    assert float(((found - wanted)[error > 0] / error[error > 0]).abs().max()) < 4.5


def invariant(matrix, law, atol):
    torch.testing.assert_close(law @ matrix, law, atol=atol, rtol=0)


@pytest.fixture
def law():
    return torch.softmax(ising(STATES), 0)


def gibbs_matrix(site, log_density, states):
    """Site drawn given the others, exactly."""
    same = (states[:, None] == states[None]) | (torch.arange(states.shape[1]) == site)
    reach = same.all(-1)
    weight = torch.where(reach, log_density(states)[None], -torch.inf)
    return weight.softmax(1)


def test_single_site_sweep_is_the_product_of_its_conditionals(law):
    kernel = SingleSiteGibbs(enumerated(ising, 2), tuple(torch.tensor([site]) for site in range(SPINS)))
    wanted = torch.eye(8).double()
    for site in range(SPINS):
        wanted = wanted @ gibbs_matrix(site, ising, STATES)
    invariant(wanted, law, 1e-12)
    agrees(counted(kernel, STATES), wanted)


def test_random_scan_is_reversible(law):
    kernel = SingleSiteGibbs(enumerated(ising, 2), tuple(torch.tensor([site]) for site in range(SPINS)), scan="random")
    once = sum(gibbs_matrix(site, ising, STATES) for site in range(SPINS)) / SPINS
    wanted = torch.linalg.matrix_power(once, SPINS)
    flow = law[:, None] * wanted
    torch.testing.assert_close(flow, flow.T)
    # All chains of a step visit the same sites: their average is over steps.
    found = torch.stack([counted_few(kernel) for _ in range(40)]).mean(0)
    torch.testing.assert_close(found, wanted, atol=0.12, rtol=0)


def counted_few(kernel):
    start = STATES.repeat_interleave(500, 0)
    new, _, _ = kernel.step(start, {})
    to = (new @ torch.tensor([4.0, 2.0, 1.0]).double()).long().reshape(8, 500)
    return torch.stack([torch.bincount(row, minlength=8) for row in to]).double() / 500


def test_colours_of_a_ring_are_drawn_at_once():
    ring = torch.eye(4).roll(1, 0) + torch.eye(4).roll(-1, 0)
    groups = coloured(ring)
    assert [group.tolist() for group in groups] == [[0, 2], [1, 3]]
    states = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    weight = 0.9 * ring.double()

    def density(x):
        return 0.5 * ((x @ weight) * x).sum(-1) - 0.4 * x[..., 0]

    def logits(x, sites):
        field = (x @ weight - 0.4 * torch.tensor([1.0, 0, 0, 0]).double())[..., sites]
        return torch.stack([torch.zeros_like(field), field], -1)

    wanted = torch.eye(16).double()
    for site in (0, 2, 1, 3):
        wanted = wanted @ gibbs_matrix(site, density, states)
    for conditional in (logits, enumerated(density, 2)):
        agrees(counted(SingleSiteGibbs(conditional, groups), states), wanted)


def test_colours_of_a_dense_graph_hold_no_neighbours():
    graph = torch.rand(12, 12) < 0.4
    groups = coloured(graph)
    either = (graph | graph.T).fill_diagonal_(False)
    assert sorted(site for group in groups for site in group.tolist()) == list(range(12))
    assert all(not bool(either[group][:, group].any()) for group in groups)


def test_categories_by_site_keep_their_law():
    law = torch.softmax(potts(POTTS), 0)
    kernel = SingleSiteGibbs(enumerated(potts, CATEGORIES), (torch.tensor([0]), torch.tensor([1])))
    wanted = gibbs_matrix(0, potts, POTTS) @ gibbs_matrix(1, potts, POTTS)
    invariant(wanted, law, 1e-12)
    agrees(counted(kernel, POTTS), wanted)


def test_queries_of_categories_are_each_their_own():
    tables = torch.stack([TABLE, -TABLE])

    def density(x):
        a, b = x[..., 0].long(), x[..., 1].long()
        return tables[torch.arange(2)[:, None], a, b]

    kernel = SingleSiteGibbs(enumerated(density, CATEGORIES), (torch.tensor([0]), torch.tensor([1])))
    at = torch.zeros(2, 20_000, 2).double()
    for _ in range(12):
        at, _, _ = kernel.step(at, {})
    for query, table in enumerate(tables):
        law = torch.softmax(table.flatten(), 0)
        found = torch.bincount((at[query] @ torch.tensor([3.0, 1.0]).double()).long(), minlength=9) / 20_000
        assert float(((found - law) / (law * (1 - law) / 20_000).sqrt()).abs().max()) < 4.5


def informed_matrix(log_density, states, gradients, codes):
    """Gibbs with gradients written out: proposals by exp(gain / 2), accepted by Hastings' ratio."""
    count = len(states)
    propose = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        near = [j for j in range(count) if int((states[i] != states[j]).sum()) == 1]
        gains = torch.stack([(gradients[i] * (codes[j] - codes[i])).sum() / 2 for j in near])
        propose[i, near] = gains.softmax(0)
    value = log_density(codes)
    ratio = value[None] - value[:, None] + propose.T.log() - propose.log()
    accept = torch.where(propose > 0, ratio.exp().clamp(max=1.0), 0.0)
    matrix = propose * accept
    return matrix + torch.diag(1 - matrix.sum(1))


def gradients_at(log_density, codes):
    at = codes.clone().requires_grad_()
    return torch.autograd.grad(log_density(at).sum(), at)[0]


def test_gibbs_with_gradients_of_bits_is_its_formula():
    law = torch.softmax(cubic(STATES), 0)
    wanted = informed_matrix(cubic, STATES, gradients_at(cubic, STATES), STATES)
    invariant(wanted, law, 1e-12)
    assert float(wanted.diagonal().max()) > 0.05, "some are refused"
    agrees(counted(GibbsWithGradients(cubic), STATES), wanted)


def test_gibbs_with_gradients_of_categories_is_its_formula():
    def encode(x):
        return torch.nn.functional.one_hot(x.long(), CATEGORIES).double()

    codes = encode(POTTS)
    law = torch.softmax(one_hot_potts(codes), 0)
    wanted = informed_matrix(one_hot_potts, POTTS, gradients_at(one_hot_potts, codes), codes)
    invariant(wanted, law, 1e-12)
    kernel = GibbsWithGradients(one_hot_potts, one_hot=True)
    agrees(counted(kernel, POTTS, encode, lambda x: x.argmax(-1).double()), wanted)


def test_gibbs_with_gradients_takes_queries_and_images():
    """Two images of other fields in one batch; each site's law is its own."""
    fields = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), -0.5)]).double()
    kernel = GibbsWithGradients(lambda x: (x * fields[:, None]).sum((-2, -1)))
    at = torch.bernoulli(torch.sigmoid(fields)[:, None].expand(2, 5000, 2, 2))
    for _ in range(10):
        at, _, metrics = kernel.step(at, {})
    assert metrics["acceptance"].shape == (2, 5000)
    wanted = torch.sigmoid(fields)
    assert float(((at.mean(1) - wanted) / (wanted * (1 - wanted) / 5000).sqrt()).abs().max()) < 4


def test_two_layers_by_any_conditionals_are_the_binary_ones():
    """Visible and hidden units: the matrix of both kernels is sum_h p(h | v) p(v' | h)."""
    weight = torch.tensor([[2.0, -1.0], [-1.5, 1.0], [0.5, 0.5]], dtype=torch.float64)
    a, b = torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64), torch.tensor([-0.3, 0.6], dtype=torch.float64)

    def up(v):
        return v @ weight + b

    def down(h):
        return h @ weight.T + a

    hidden = torch.tensor(list(product([0.0, 1.0], repeat=2)), dtype=torch.float64)

    def chances(logits, states):
        return torch.where(states[None] > 0, logits.sigmoid()[:, None], 1 - logits.sigmoid()[:, None]).prod(-1)

    wanted = chances(up(STATES), hidden) @ chances(down(hidden), STATES)
    law = torch.softmax(STATES @ a + torch.nn.functional.softplus(up(STATES)).sum(1), 0)
    invariant(wanted, law, 1e-12)
    for kernel in (BinaryGibbs(up, down), BlockGibbs((lambda v: bernoulli(up(v)), lambda h: bernoulli(down(h))))):
        agrees(counted(kernel, STATES), wanted)


def test_swaps_of_replicas_keep_the_joint_law_of_all_temperatures():
    """Copies that never move by themselves: swaps alone have to leave the product of their laws as it is."""

    class Still:
        def init(self, position):
            return {}

        def step(self, position, memory):
            return position, memory, {}

    ladder = (1.0, 0.6, 0.2)
    kernel = ReplicaExchange(ising, lambda _: Still(), ladder)
    laws = [torch.softmax(heat * ising(STATES), 0) for heat in ladder]
    rows = [torch.multinomial(law, 60_000, replacement=True) for law in laws]
    at = STATES[rows[0]]
    memory = kernel.init(at) | {"hotter": torch.stack([STATES[row] for row in rows[1:]])}
    for _ in range(3):
        at, memory, metrics = kernel.step(at, memory)
    assert 0.3 < float(metrics["swapped"].mean()) < 1
    base = torch.tensor([4.0, 2.0, 1.0]).double()
    for law, positions in zip(laws, (at, *memory["hotter"]), strict=True):
        found = torch.bincount((positions @ base).long(), minlength=8) / len(at)
        assert float(((found - law) / (law * (1 - law) / len(at)).sqrt()).abs().max()) < 4.5
    assert float((at != STATES[rows[0]]).any(1).double().mean()) > 0.3, "they did swap"


def test_draws_of_categories_follow_their_weights_and_never_the_impossible():
    logits = torch.tensor([-torch.inf, 0.0, 1.0, -torch.inf])
    drawn = categorical(logits.expand(100_000, 4))
    found = torch.bincount(drawn, minlength=4) / 100_000
    torch.testing.assert_close(found, logits.softmax(0), atol=0.008, rtol=0)
    assert found[0] == 0 and found[3] == 0
