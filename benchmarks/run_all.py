"""Run every benchmark, one process each, one thread unless the benchmark says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = (
    "startup",
    "em_speed",
    "query_speed",
    "stream",
    "engine_overhead",
    "samplers",
    "diamonds",
    "diamonds_reals",
    "specialist",
    "table_answers",
    "simulators",
    "fit_scaling",
    "anyorder_truth",
    "digits_density",
    "label_efficiency",
    "rbm_digits",
    "rbm_speed",
    "rbm_yrbss",
    "claimed_error",
    "audit_speed",
    "modes",
    "denoising_pictures",
    "digits_draws",
    "draws",
    "short_runs",
    "vae_speed",
    "latent_hmc",
    "mutations",
)


def main() -> int:
    names = sys.argv[1:] or NAMES
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, env=os.environ).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
