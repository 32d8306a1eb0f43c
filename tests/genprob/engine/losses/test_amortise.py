"""Posterior matching: at its optimum the guide under each mask is the posterior given what the mask leaves."""

import pyro
import pyro.distributions as dist
import torch

from genprob.engine.losses.amortise import masks, matching
from genprob.model import Model

LOADING = torch.tensor([1.5, -1.0], dtype=torch.float64)


class Masked(Model):
    """z ~ N(0, 1), two readings of it; the guide has a slope per reading and a scale for every mask."""

    def __init__(self, schema):
        super().__init__(schema)
        self.slope = torch.nn.Parameter(torch.zeros(4, 2, dtype=torch.float64))
        self.log_s = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            pyro.sample("x", dist.Normal(z[:, None] * LOADING, 1.0).to_event(1), obs=batch.values)

    def guide(self, batch):
        which = batch.observed.long() @ torch.tensor([1, 2])
        loc = (self.slope[which] * batch.values * batch.observed).sum(-1)
        with batch.plate():
            pyro.sample("z", dist.Normal(loc, self.log_s[which].exp()))


def exact():
    """Slopes and log standard deviations of the posterior under each mask."""
    slope, log_s = torch.zeros(4, 2).double(), torch.zeros(4).double()
    for which in range(4):
        known = torch.tensor([which & 1, which >> 1 & 1]).double()
        precision = 1 + (known * LOADING**2).sum()
        slope[which], log_s[which] = known * LOADING / precision, -0.5 * precision.log()
    return slope, log_s


def test_the_guide_under_each_mask_becomes_its_posterior(batch_of):
    torch.manual_seed(0)
    z = torch.randn(3000, dtype=torch.float64)
    rows = batch_of(z[:, None] * LOADING + torch.randn(3000, 2, dtype=torch.float64))
    model = Masked(rows.schema)
    slope, log_s = exact()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.06)
    for _ in range(150):
        latents = {"z": (rows.values * slope[3]).sum(-1) + log_s[3].exp() * torch.randn(3000, dtype=torch.float64)}
        optimizer.zero_grad()
        matching(model, rows, latents).backward()
        optimizer.step()
    assert torch.allclose(model.slope * (slope != 0), slope, atol=0.06)
    assert torch.allclose(model.log_s, log_s, atol=0.07)


def test_nothing_but_the_guide_is_moved(batch_of):
    rows = batch_of(torch.randn(20, 2))
    model = Masked(rows.schema)
    z = torch.randn(20, dtype=torch.float64, requires_grad=True)
    matching(model, rows, {"z": z}).backward()
    assert z.grad is None and model.slope.grad is not None


def test_masks_leave_every_share(batch_of):
    torch.manual_seed(0)
    left = masks(batch_of(torch.zeros(3000, 5))).double().mean(1)
    shares = torch.bincount((left * 5).round().long()) / 3000
    assert torch.allclose(shares, torch.full((6,), 1 / 6).float(), atol=0.03)
