"""The machine: a restricted Boltzmann machine's couplings as they stand, and its block Gibbs kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob_energy.evidence import Evidence
from genprob_energy.units import Units, binary_states

Share = float | Tensor
"""A share of the path from independent units, of all points or of each `[rows]`."""
_CHUNK = 2**22
"""Numbers of an enumeration held at once."""


@dataclass(frozen=True, eq=False)
class Machine:
    """log p(x, h) = log_base(x) + natural(drive(h)) . f(x) + hidden . h - log Z, over features f(x) and binary h.

    Units are driven by `drive(h) = visible + h weight'`; natural parameters are the drive times the units' stretch
    (1 / scale^2 for reals, else 1).

    Arguments:
        units: the visible layer.
        weight: `[features, hidden]`.
        visible: `[features]` mean parameters without hidden units.
        hidden: `[hidden]` biases.
        base: `[features]` mean parameters of the independent units where the temperature path begins.
    """

    units: Units
    weight: Tensor
    visible: Tensor
    hidden: Tensor
    base: Tensor

    def up(self, points: Tensor) -> Tensor:
        """Logits of the hidden units, `[..., schema.width] -> [..., hidden]`."""
        return self._pull(self.units.features(points))

    def _pull(self, features: Tensor) -> Tensor:
        stretch = self.units.stretch(features.dtype)
        return torch.addmm(self.hidden, features if stretch is None else features * stretch, self.weight)

    def down(self, hidden: Tensor) -> Tensor:
        """Mean parameters of the visible units, `[..., hidden] -> [..., features]`."""
        return torch.addmm(self.visible, hidden, self.weight.mT)

    def free_energy(self, points: Tensor) -> Tensor:
        """-log of the sum over hidden states of the unnormalised law, `[n, schema.width] -> [n]`."""
        features = self.units.features(points)
        stretch = self.units.stretch(features.dtype)
        visible = self.visible if stretch is None else self.visible * stretch
        couplings = softplus(self._pull(features)).sum(-1) + self.quadratic(features)
        return -features @ visible - couplings - self.units.log_base(points)

    def log_hidden(self, hidden: Tensor) -> Tensor:
        """log of the sum over visible points of the unnormalised law, `[..., hidden] -> [...]`."""
        return hidden @ self.hidden + self.units.log_normaliser(self.down(hidden))

    def draw_hidden(self, points: Tensor) -> Tensor:
        """Hidden states given points."""
        return fired(self.up(points))

    def draw_visible(self, hidden: Tensor, now: Tensor, evidence: Evidence | None, share: Share = 1.0) -> Tensor:
        """New points given hidden states and the points `now`, at a share of the path from independent units."""
        return self.units.draw(self._drive(hidden, share), evidence, now)

    def _drive(self, hidden: Tensor, share: Share) -> Tensor:
        if isinstance(share, Tensor):
            each = share[:, None]
            return torch.addcmul(torch.lerp(self.base, self.visible, each), hidden @ self.weight.mT, each)
        visible = self.visible if share == 1.0 else torch.lerp(self.base, self.visible, share)
        return torch.addmm(visible, hidden, self.weight.mT, alpha=share)

    def quadratic(self, features: Tensor) -> Tensor:
        """What visible units add to the log-density by their own couplings, `[..., features] -> [...]`."""
        return features.new_zeros(features.shape[:-1])

    def log_partition_by_hidden(self) -> float:
        """log Z, summed over all hidden states."""
        states = binary_states(len(self.hidden), self.weight.dtype, self.weight.device)
        step = max(1, _CHUNK // self.units.width)
        parts = [torch.logsumexp(self.log_hidden(part).double(), 0) for part in states.split(step)]
        return float(torch.logsumexp(torch.stack(parts), 0))

    def log_partition_by_visible(self, states: Tensor) -> float:
        """log Z, summed over all visible states `[n, schema.width]`."""
        step = max(1, _CHUNK // (self.units.width + len(self.hidden)))
        parts = [torch.logsumexp(-self.free_energy(part).double(), 0) for part in states.split(step)]
        return float(torch.logsumexp(torch.stack(parts), 0))


@dataclass(frozen=True, eq=False)
class BlockGibbs:
    """Draws the hidden layer given the visible one, then the visible one anew (Geman and Geman 1984).

    Its chains are points `[..., chains, schema.width]`. Evidence holds what is known: fixed units keep their value, the
    others are drawn from their conditional given the hidden layer and what is known of them.

    Arguments:
        machine: the law that is left invariant.
        evidence: of each chain, all dimensions of chains taken as one; or None.
    """

    machine: Machine
    evidence: Evidence | None = None

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        now = position.flatten(0, -2)
        if self.evidence is not None:
            now = self.evidence.hold(now, self.machine.units.reals)
        hidden = self.machine.draw_hidden(now)
        new = self.machine.draw_visible(hidden, now, self.evidence)
        return new.reshape(position.shape), memory, {"flipped": (new != now).to(new.dtype).mean()}


@dataclass(frozen=True, eq=False)
class MachinePath:
    """The temperature path of a machine, clamped or not: `genprob.metrics.partition.Path` over points.

    Arguments:
        machine: its end.
        first: `[rows, schema.width]` exact draws of its beginning.
        log_first: log-partition function of its beginning, of each row's own law, `[rows]` or a number.
        evidence: of each row, or None.
    """

    machine: Machine
    first: Tensor
    log_first: Tensor
    evidence: Evidence | None = None

    seen: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def start(self) -> Tensor:
        return self.first

    def log_density(self, points: Tensor, share: Share) -> Tensor:
        seen = self._seen(points)
        linear = torch.lerp(seen["base"], seen["visible"], share) + seen["log_base"]
        return (linear + softplus(_each(share) * seen["logits"]).sum(-1)).double()

    def step(self, points: Tensor, share: Share) -> Tensor:
        hidden = fired(_each(share) * self._seen(points)["logits"])
        return self.machine.draw_visible(hidden, points, self.evidence, share)

    def _seen(self, points: Tensor) -> dict[str, Tensor]:
        """What every share needs of the same points: the one product with the weights."""
        if self.seen.get("points") is not points:
            machine = self.machine
            features = machine.units.features(points)
            stretch = machine.units.stretch(features.dtype)
            natural = features if stretch is None else features * stretch
            self.seen.update(
                points=points,
                logits=torch.addmm(machine.hidden, natural, machine.weight),
                base=natural @ machine.base,
                visible=natural @ machine.visible + machine.quadratic(features),
                log_base=machine.units.log_base(points),
            )
        return self.seen


@dataclass(frozen=True, eq=False)
class TemperedGibbs:
    """Block Gibbs at a ladder of shares of the path from independent units, neighbours exchanged after each step.

    The chains that move are those of the machine itself; the hotter copies live in the memory (Geyer 1991; Desjardins
    et al. 2010 for learning). Even and odd pairs are tried in turn.

    Arguments:
        machine: the law that is left invariant.
        shares: falling from 1; the last may be 0, where units are independent.
    """

    machine: Machine
    shares: tuple[float, ...]

    def init(self, position: Tensor) -> Memory:
        return {"hotter": position.expand(len(self.shares) - 1, *position.shape).clone(), "steps": 0}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        path = MachinePath(self.machine, position, position.new_zeros(()))
        count, chains = len(self.shares), len(position)
        own = position.new_tensor(self.shares).repeat_interleave(chains)
        moved = path.step(torch.cat([position[None], memory["hotter"]]).flatten(0, 1), own)
        flipped = (moved[:chains] != position).to(position.dtype).mean()

        partner = torch.arange(count, device=position.device)
        first = memory["steps"] % 2
        paired = (count - first) // 2 * 2
        partner[first : first + paired] = partner[first : first + paired].view(-1, 2).flip(1).reshape(-1)
        there = own.view(count, chains)[partner].reshape(-1)
        gain = (path.log_density(moved, there) - path.log_density(moved, own)).view(count, chains)
        chance = (gain + gain[partner])[first : first + paired : 2].clamp(max=0.0).exp()
        accept = torch.zeros(count, chains, dtype=torch.bool, device=position.device)
        accept[first : first + paired] = (torch.rand_like(chance) < chance).repeat_interleave(2, 0)
        moved = moved.view(count, chains, -1)
        moved = torch.where(accept[..., None], moved[partner], moved)
        rate = chance.mean() if paired else torch.zeros(())
        memory = {"hotter": moved[1:].clone(), "steps": memory["steps"] + 1}
        return moved[0], memory, {"flipped": flipped, "swapped": rate}


def fired(logits: Tensor) -> Tensor:
    """Binary states, 1 with the probability of each logit."""
    return torch.rand_like(logits).lt_(torch.sigmoid(logits))


def _each(share: Share) -> Share:
    return share[:, None] if isinstance(share, Tensor) else share
