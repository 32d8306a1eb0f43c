"""Kernels beside Pyro's and NumPyro's NUTS; a thousand queries at once beside a loop; a Transition beside a loop."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import tables
from benchmarks.peers import numpyro_nuts
from benchmarks.timing import threads
from genprob.engine.blocks import Blocks
from genprob.engine.diagnostics import ess_bulk, rhat
from genprob.engine.fit import fit
from genprob.engine.kernels import HMC, NUTS, BinaryGibbs, ChEES, sample
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob.engine.transition import Kernel, Transition

SEED, D, CHAINS, WARMUP, DRAWS = 0, 50, 256, 200, 200
PYRO, NUMPYRO = 200, 500
EFFECT = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], dtype=torch.float64)
ERROR = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], dtype=torch.float64)
AT = torch.arange(D, dtype=torch.float64)
PRECISION = torch.linalg.inv(0.9 ** (AT[:, None] - AT).abs()).contiguous()


def gaussian(x: Tensor) -> Tensor:
    return -0.5 * (x @ PRECISION * x).sum(-1)


def gaussian_with_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    gradient = -(x @ PRECISION)
    return 0.5 * (gradient * x).sum(-1), gradient


def eight_schools(x: Tensor) -> Tensor:
    mu, log_tau, z = x[..., 0], x[..., 1], x[..., 2:]
    tau = log_tau.exp()
    prior = -0.5 * (mu / 5).square() - (tau / 5).square().log1p() + log_tau - 0.5 * z.square().sum(-1)
    return prior - 0.5 * ((EFFECT - mu[..., None] - tau[..., None] * z) / ERROR).square().sum(-1)


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def pyro_nuts(density: Callable[[Tensor], Tensor], start: Tensor, goal: float) -> Tensor:
    """One chain of Pyro's NUTS, `[draw, 1, d]`."""
    import pyro
    from pyro.infer import mcmc

    pyro.set_rng_seed(SEED)
    kernel = mcmc.NUTS(potential_fn=lambda named: -density(named["x"][None])[0], target_accept_prob=goal)
    run = mcmc.MCMC(kernel, PYRO, warmup_steps=PYRO, initial_params={"x": start[0]}, num_chains=1, disable_progbar=True)
    run.run()
    return run.get_samples(group_by_chain=True)["x"].movedim(0, 1)


def row(target: str, sampler: str, draws: Tensor, warmup: int, seconds: float) -> dict[str, tables.Cell]:
    size = float(ess_bulk(draws).min())
    return {
        "target": target,
        "sampler": sampler,
        "chains": draws.shape[1],
        "warm-up": warmup,
        "draws": draws.shape[0],
        "CPU s": seconds,
        "R-hat": float(rhat(draws).max()),
        "min ESS": size,
        "min ESS / CPU s": size / seconds,
    }


def contenders(target: str) -> list[tuple[str, Kernel]]:
    if target == "gaussian":
        return [
            ("genprob ChEES, analytic gradient", ChEES(gaussian, value_and_gradient=gaussian_with_gradient)),
            ("genprob ChEES", ChEES(gaussian)),
            ("genprob HMC, up to 40 leapfrogs", HMC(gaussian, 40)),
            ("genprob NUTS", NUTS(gaussian, compact=True)),
        ]
    return [
        ("genprob ChEES", ChEES(eight_schools, target=0.9)),
        ("genprob HMC, up to 12 leapfrogs", HMC(eight_schools, 12, target=0.9)),
        ("genprob NUTS", NUTS(eight_schools, target=0.9, compact=True)),
    ]


def densities() -> list[dict[str, tables.Cell]]:
    found: list[dict[str, tables.Cell]] = []
    for target, title, density, width, spread, goal in (
        ("gaussian", "50-d AR(.9) Gaussian", gaussian, D, 2.0, 0.8),
        ("schools", "eight schools", eight_schools, 10, 0.5, 0.9),
    ):
        torch.manual_seed(SEED)
        start = spread * torch.randn(CHAINS, width, dtype=torch.float64)
        for name, kernel in contenders(target):
            held: list[Tensor] = []
            seconds = cpu_seconds(
                lambda kernel=kernel, held=held, start=start: held.append(
                    sample(kernel, start, warmup=WARMUP, draws=DRAWS)[0]
                )
            )
            found.append(row(title, name, held[0], WARMUP, seconds))
        held = []
        seconds = cpu_seconds(lambda: held.append(pyro_nuts(density, start, goal)))  # noqa: B023
        found.append(row(title, "Pyro NUTS", held[0], PYRO, seconds))
        one = numpyro_nuts.run(target, chains=1, warmup=NUMPYRO, draws=NUMPYRO, method="sequential", seed=SEED)
        found.append(row(title, "NumPyro NUTS, first call", one.draws, NUMPYRO, one.first_seconds))
        found.append(row(title, "NumPyro NUTS, second call", one.draws, NUMPYRO, one.second_seconds))
        many = numpyro_nuts.run(target, chains=CHAINS, warmup=WARMUP, draws=DRAWS, method="vectorized", seed=SEED)
        found.append(row(title, "NumPyro NUTS vectorized, first call", many.draws, WARMUP, many.first_seconds))
        found.append(row(title, "NumPyro NUTS vectorized, second call", many.draws, WARMUP, many.second_seconds))
        for one_row in [item for item in found if item["target"] == title]:
            print({name: one_row[name] for name in ("sampler", "CPU s", "min ESS / CPU s")}, flush=True)
    return found


def queries() -> list[dict[str, tables.Cell]]:
    """Eight schools with a thousand tables of effects: all at once, and one after another."""
    count, some, chains, steps = 1000, 10, 4, 60
    torch.manual_seed(SEED)
    effects = 10 * torch.randn(count, 1, 8, dtype=torch.float64)

    def density(x: Tensor, effects: Tensor) -> Tensor:
        mu, log_tau, z = x[..., 0], x[..., 1], x[..., 2:]
        theta = mu[..., None] + log_tau.exp()[..., None] * z
        prior = -0.5 * (mu / 5).square() - (log_tau.exp() / 5).square().log1p() + log_tau - 0.5 * z.square().sum(-1)
        return prior - 0.5 * ((effects - theta) / ERROR).square().sum(-1)

    start = 0.5 * torch.randn(count, chains, 10, dtype=torch.float64)

    def batch() -> None:
        sample(HMC(lambda x: density(x, effects), 8), start, warmup=steps, draws=steps)

    def loop() -> None:
        for query in range(some):
            kernel = HMC(lambda x, query=query: density(x, effects[query]), 8)
            sample(kernel, start[query], warmup=steps, draws=steps)

    ratios, ours, theirs = [], [], []
    for _ in range(3):
        theirs.append(cpu_seconds(loop) * count / some)
        ours.append(cpu_seconds(batch))
        ratios.append(theirs[-1] / ours[-1])
    return [
        {
            "queries": count,
            "chains each": chains,
            "steps": 2 * steps,
            "batch CPU s": statistics.median(ours),
            "loop CPU s": statistics.median(theirs),
            "loop / batch": statistics.median(ratios),
            "target": 50,
        }
    ]


def overhead() -> list[dict[str, tables.Cell]]:
    """A Transition in the engine's loop, and the same kernel in a loop by hand."""
    weight = 0.01 * torch.randn(784, 500)
    gibbs = BinaryGibbs(lambda v: v @ weight, lambda h: h @ weight.T)
    cases: list[tuple[str, Kernel, Tensor, int]] = [
        ("HMC, 256 chains, 50-d", HMC(gaussian, 16), torch.randn(256, D, dtype=torch.float64), 60),
        ("block Gibbs, RBM 784 x 500, 128 chains", gibbs, torch.bernoulli(torch.full((128, 784), 0.5)), 60),
    ]
    found: list[dict[str, tables.Cell]] = []
    for name, kernel, start, steps in cases:

        def bare(kernel: Kernel = kernel, start: Tensor = start, steps: int = steps) -> None:
            with torch.no_grad():
                torch.manual_seed(SEED)
                position, memory = start, kernel.init(start)
                for _ in range(steps):
                    position, memory, _ = kernel.step(position, memory)

        def engine(kernel: Kernel = kernel, start: Tensor = start, steps: int = steps) -> None:
            move = Transition("move", "chains", lambda blocks, batch: kernel)
            for _ in fit([Phase((move,), steps)], State(Blocks({}, {"chains": start}), Randomness(SEED))):
                pass

        times: tuple[list[float], list[float]] = ([], [])
        for repetition in range(-1, 11):
            for which in (0, 1) if repetition % 2 else (1, 0):
                taken = cpu_seconds((engine, bare)[which])
                if repetition >= 0:
                    times[which].append(1e3 * taken / steps)
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        found.append(
            {
                "kernel": name,
                "bare ms": statistics.median(times[1]),
                "Transition ms": statistics.median(times[0]),
                "steps / CPU s": 1e3 / statistics.median(times[0]),
                "ratio": ratio,
                "target": 1.05,
            }
        )
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    with threads(1):
        cost, many, found = overhead(), queries(), densities()
    rates: dict[tables.Cell, dict[str, float]] = {}
    for item in found:
        rates.setdefault(item["target"], {})[str(item["sampler"])] = float(item["min ESS / CPU s"] or 0)
    ratios: list[dict[str, tables.Cell]] = [
        {
            "target": target,
            "peer": peer,
            "best of genprob / peer": max(rate for name, rate in of.items() if name.startswith("genprob")) / theirs,
            "genprob NUTS / peer": of["genprob NUTS"] / theirs,
        }
        for target, of in rates.items()
        for peer, theirs in of.items()
        if not peer.startswith("genprob")
    ]
    text = (
        "Smallest effective sample size (bulk, over dimensions) for each CPU second of the whole run: warm-up, all "
        "chains, and compilation where it happens. The same densities, starts of the same width and targets of "
        "acceptance; eight schools is non-centred with log tau. Peers that run one chain by default run one.\n\n"
        f"{tables.markdown(ratios)}\n\n## A batch of queries\n\nEight schools with a thousand tables of effects, each "
        f"query with chains, step size and mass of its own.\n\n{tables.markdown(many)}\n\n## What the engine costs\n\n"
        "The same steps in `engine.fit` and in a loop by hand, in turn; the ratio is the median of 11 rounds' own."
        f"\n\n{tables.markdown(cost)}\n\n## All samplers"
    )
    notes = (
        "NumPyro: environment of `benchmarks/environments/numpyro.txt`, 64-bit, one thread.",
        f"Load of the machine at the end, in processes that wanted to run: {os.getloadavg()[0]:.0f}. CPU seconds of "
        "all samplers grow with it.",
    )
    packages = ("torch", "pyro-ppl")
    tables.write("samplers", "Kernels beside other samplers", text, found, seed=SEED, packages=packages, notes=notes)


if __name__ == "__main__":
    main()
