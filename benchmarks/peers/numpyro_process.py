"""Run by the environment's own Python: `numpyro_process.py TARGET CHAINS WARMUP DRAWS METHOD SEED OUT.npz`."""

from __future__ import annotations

import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.infer import MCMC, NUTS

D = 50
EFFECT = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def gaussian(precision):
    return lambda x: 0.5 * x @ precision @ x


def eight_schools(x):
    mu, log_tau, z = x[0], x[1], x[2:]
    tau = jnp.exp(log_tau)
    prior = 0.5 * (mu / 5) ** 2 + jnp.log1p((tau / 5) ** 2) - log_tau + 0.5 * jnp.sum(z**2)
    return prior + 0.5 * jnp.sum(((EFFECT - mu - tau * z) / ERROR) ** 2)


def main(target: str, chains: int, warmup: int, draws: int, method: str, seed: int, out: str) -> None:
    warnings.simplefilter("ignore")
    numpyro.enable_x64()
    at = np.arange(D)
    potentials = {
        "gaussian": gaussian(jnp.asarray(np.linalg.inv(0.9 ** np.abs(at[:, None] - at)))),
        "schools": eight_schools,
    }
    width, goal = (D, 0.8) if target == "gaussian" else (10, 0.9)
    start = np.random.default_rng(seed).standard_normal((chains, width)) * (2 if target == "gaussian" else 0.5)
    seconds = []
    sampler = MCMC(
        NUTS(potential_fn=potentials[target], target_accept_prob=goal),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method=method,
        progress_bar=False,
    )
    for key in (seed, seed + 1):
        began = time.process_time()
        sampler.run(jax.random.PRNGKey(key), init_params=jnp.asarray(start if chains > 1 else start[0]))
        found = np.asarray(sampler.get_samples(group_by_chain=True))
        seconds.append(time.process_time() - began)
    np.savez(out, draws=np.swapaxes(found, 0, 1), seconds=seconds)


if __name__ == "__main__":
    target, chains, warmup, draws, method, seed, out = sys.argv[1:]
    main(target, int(chains), int(warmup), int(draws), method, int(seed), out)
