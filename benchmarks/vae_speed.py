"""A step of a VAE 784-400-400-20: genprob's engine beside bare torch and Pyro's SVI, in one process."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ClippedAdam
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks import tables
from benchmarks.timing import threads
from genprob.data.batch import Minibatches, as_batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary
from genprob.data.table import Table
from genprob.engine.fit import fit
from genprob.engine.inferences.elbo import elbo
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob.nets.mlp import mlp
from genprob_variational.vae import VAE

TEXT = (
    "Networks 784-400-400-20, Bernoulli pixels without holes, Adam, one draw of the code and its divergence in closed\n"
    "form; median processor time of a step, the methods in turn on one thread. genprob's encoder is also shown which\n"
    "pixels are known, its step leaves out what is not finite, its batches are permuted and masked; bare torch and\n"
    "Pyro index a tensor. `compiled` is `inference.compile=true`, its graph made before the clock starts. Aims: at\n"
    "most 1.3 times bare torch, compiled 1.05, and 1.4 times as quick as SVI, which bare torch itself does not reach\n"
    "where products of large batches are nearly all of a step."
)
PIXELS, HIDDEN, LATENT, ROWS = 784, (400, 400), 20, 4096


def networks() -> tuple[nn.Module, nn.Module]:
    return mlp(PIXELS, HIDDEN, 2 * LATENT), mlp(LATENT, HIDDEN, PIXELS)


def bare(data: Tensor, size: int) -> Callable[[], object]:
    encoder, decoder = networks()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)

    def step() -> None:
        x = data[torch.randint(len(data), (size,))]
        loc, log_scale = encoder(x).chunk(2, -1)
        scale = log_scale.exp()
        z = loc + scale * torch.randn_like(loc)
        likelihood = binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(-1)
        divergence = (0.5 * (loc**2 + scale**2 - 1) - log_scale).sum(-1)
        optimizer.zero_grad()
        (likelihood + divergence).mean().backward()
        optimizer.step()

    return step


def svi(data: Tensor, size: int) -> Callable[[], object]:
    encoder, decoder = networks()
    pyro.clear_param_store()

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(LATENT), 1.0).expand([LATENT]).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("rows", len(x)):
            loc, log_scale = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    inference = SVI(model, guide, ClippedAdam({"lr": 1e-3}), Trace_ELBO())
    return lambda: inference.step(data[torch.randint(len(data), (size,))])


def ours(data: Tensor, size: int, *, compile: bool = False) -> Callable[[], object]:
    schema = Schema((Variable("image", Binary(), dims=("y", "x"), shape=(28, 28)),))
    rows = as_batch(Table(schema, data.double().numpy()), dtype=torch.float32)
    model = VAE(schema, latent=LATENT, hidden=HIDDEN)
    model.prepare(rows, seed=0)
    program = elbo(model, steps=10**6, lr=1e-3, batch_size=size, holdout=0.0, compile=compile)
    steps = fit(program.phases, State(program.blocks, Randomness(0), horizon=10**6), Minibatches(rows, size, 0))
    return lambda: next(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="of each in every round")
    chosen = parser.parse_args()
    data = (torch.rand(ROWS, PIXELS, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    rows = []
    with threads(1):
        for size in (128, 512):
            methods = {
                "bare torch": bare(data, size),
                "Pyro SVI": svi(data, size),
                "genprob": ours(data, size),
                "compiled": ours(data, size, compile=True),
            }
            seconds: dict[str, list[float]] = {name: [] for name in methods}
            for _ in range(chosen.rounds):
                for name, step in methods.items():  # in turn, so that a busy machine slows them alike
                    step()
                    start = time.process_time()
                    for _ in range(chosen.steps):
                        step()
                    seconds[name].append((time.process_time() - start) / chosen.steps)
            each = {name: float(np.median(found)) for name, found in seconds.items()}
            rows.append(
                {"batch": size}
                | {f"{name}, ms": round(1e3 * s, 2) for name, s in each.items()}
                | {
                    "genprob / bare": round(each["genprob"] / each["bare torch"], 2),
                    "compiled / bare": round(each["compiled"] / each["bare torch"], 2),
                    "SVI / genprob": round(each["Pyro SVI"] / each["genprob"], 2),
                    "SVI / compiled": round(each["Pyro SVI"] / each["compiled"], 2),
                }
            )
    tables.write("vae_speed", "A step of a VAE", TEXT, rows, 0, ("torch", "pyro-ppl"))


if __name__ == "__main__":
    main()
