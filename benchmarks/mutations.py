"""Plant one bug at a time in a copy of the source and see whether the default tests notice."""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tables

ROOT = Path(__file__).parent.parent
COPIED = ("genprob", "plugins", "cli", "tests", "pyproject.toml")
SECONDS = 240


@dataclass(frozen=True)
class Mutation:
    """A bug: the one place of `path` that holds `old` says `new`, and one of `tests` should fail."""

    bug: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "log-Jacobian of a positive dropped",
        "genprob/data/encoders.py",
        "out[..., self.positive] -= torch.log(x[..., self.positive])",
        "out[..., self.positive] -= 0 * torch.log(x[..., self.positive])",
        ("tests/genprob/data/test_encoders.py",),
    ),
    Mutation(
        "log-Jacobian of an interval of half its width",
        "genprob/data/encoders.py",
        "out[..., b] += torch.log(hi - lo) - torch.log(x[..., b] - lo)",
        "out[..., b] += torch.log((hi - lo) / 2) - torch.log(x[..., b] - lo)",
        ("tests/genprob/data/test_encoders.py",),
    ),
    Mutation(
        "a cell's CDF difference in the upper tail is not turned to the lower",
        "genprob/nets/normal.py",
        "    flip = lo + hi > 0\n    below, above",
        "    flip = lo + hi > torch.inf\n    below, above",
        ("tests/genprob/nets/test_normal.py",),
    ),
    Mutation(
        "resume forgets where the phase stood",
        "genprob/engine/state.py",
        'self.phase, self.step, self.phase_step = tree["phase"], tree["step"], tree["phase_step"]',
        'self.phase, self.step, self.phase_step = tree["phase"], tree["step"], 0',
        ("tests/genprob/engine/test_state.py",),
    ),
    Mutation(
        "random numbers drawn in a step are not kept",
        "genprob/engine/randomness.py",
        "            self.states = self._exchange(outer)",
        "            self._exchange(outer)",
        ("tests/genprob/engine/test_randomness.py",),
    ),
    Mutation(
        "the guard overlooks writes to parameters",
        "genprob/engine/fit.py",
        "    if now != versions:",
        "    if now < versions:",
        ("tests/genprob/engine/test_fit.py",),
    ),
    Mutation(
        "running statistics of a foreign module stay moved",
        "genprob/engine/fit.py",
        "                    buffer.copy_(value)",
        "                    buffer.copy_(buffer)",
        ("tests/genprob/engine/test_fit.py",),
    ),
    Mutation(
        "clipping to twice the norm",
        "genprob/engine/descend.py",
        "torch._foreach_mul_(gradients, self.clip / length)",
        "torch._foreach_mul_(gradients, 2 * self.clip / length)",
        ("tests/genprob/engine/test_descend.py",),
    ),
    Mutation(
        "the average of parameters decays the wrong way round",
        "genprob/engine/descend.py",
        "for p in self._bound.parameters.values()], 1 - self.ema)",
        "for p in self._bound.parameters.values()], self.ema)",
        ("tests/genprob/engine/test_descend.py",),
    ),
    Mutation(
        "a Metropolis step accepts everything",
        "genprob/engine/kernels/metropolis.py",
        "return chance, torch.rand_like(chance) < chance",
        "return chance, torch.rand_like(chance) < 2 + chance",
        ("tests/genprob/engine/kernels/test_kernels.py::test_exact_draws_stay_exact_and_forgetful",),
    ),
    Mutation(
        "a critic of Wasserstein held to slope 1 on both sides",
        "genprob/engine/losses/adversarial.py",
        "- 1).clamp(min=0).square()",
        "- 1).square()",
        (
            "tests/genprob/engine/test_proof_adversarial.py::"
            "test_a_critic_of_wasserstein_turns_when_the_generator_has_passed_the_data",
        ),
    ),
    Mutation(
        "importance sampling ignores its weights",
        "genprob/query/strategies/importance.py",
        "share = torch.as_tensor(np.exp(safe - safe.max(1, keepdims=True)))",
        "share = torch.as_tensor(np.ones_like(safe))",
        ("tests/genprob/query/strategies/test_importance.py",),
    ),
    Mutation(
        "the evidence of rejection counts no proposal that missed",
        "genprob/query/strategies/rejection.py",
        "evidence = np.log(accepted / total) + ceiling",
        "evidence = np.log(accepted / accepted) + ceiling",
        ("tests/genprob/query/strategies/test_rejection.py",),
    ),
    Mutation(
        "enumeration forgets the likelihood of what was told",
        "genprob/query/strategies/enumeration.py",
        "np.where(there & (told > -np.inf), found + told, -np.inf)",
        "np.where(there & (told > -np.inf), found, -np.inf)",
        ("tests/genprob/query/strategies/test_enumeration.py",),
    ),
    Mutation(
        "annealing adds its islands up instead of averaging them",
        "genprob/query/strategies/smc.py",
        "return np.logaddexp.reduce(self.each, axis=1) - np.log(ISLANDS)",
        "return np.logaddexp.reduce(self.each, axis=1)",
        ("tests/genprob/query/strategies/test_smc.py::test_the_claimed_error_of_the_evidence_is_the_true_one",),
    ),
    Mutation(
        "the planner prefers the weakest guarantee",
        "genprob/query/planner.py",
        "return (GUARANTEES.index(word.said.guarantee), self.ranks",
        "return (-GUARANTEES.index(word.said.guarantee), self.ranks",
        ("tests/genprob/query/test_planner.py",),
    ),
    Mutation(
        "the audit's band is one-sided",
        "genprob/query/ranks.py",
        "2 * np.minimum(binom.cdf(count, n, share), binom.sf(count - 1, n, share))",
        "2 * binom.cdf(count, n, share)",
        ("tests/genprob/query/test_ranks.py",),
    ),
    Mutation(
        "the digest of a result leaves the values out",
        "genprob/results/digest.py",
        "[group, name, head, self._values.get((group, name), empty).hexdigest()]",
        "[group, name, head, empty.hexdigest()]",
        ("tests/genprob/results/test_digest.py", "tests/genprob/results/test_file.py"),
    ),
    Mutation(
        "labels are coded in another order than their meanings",
        "genprob/results/coding.py",
        "codes = pd.Index(levels, dtype=object).get_indexer(flat)",
        "codes = pd.Index(levels[::-1], dtype=object).get_indexer(flat)",
        ("tests/genprob/results/test_coding.py",),
    ),
    Mutation(
        "a mixture's draws in a box forget their weights",
        "plugins/genprob_mixture/conditional.py",
        "log_weight = log_weight + torch.where(active[:, None], extra, 0.0)",
        "log_weight = log_weight + torch.where(active[:, None], 0 * extra, 0.0)",
        ("tests/plugins/genprob_mixture/test_queries.py::test_importance_is_right_within_its_errors",),
    ),
    Mutation(
        "the CRPS is not the fair one",
        "genprob/metrics/crps.py",
        "/ (count * (count - 1))",
        "/ (count * count)",
        ("tests/genprob/metrics/test_crps.py",),
    ),
    Mutation(
        "MADE: a hidden unit sees one degree more than its own",
        "plugins/genprob_autoregressive/masked_network.py",
        "return (after[:, None] >= before)",
        "return (after[:, None] >= before - 1)",
        ("tests/plugins/genprob_autoregressive/test_ordered.py",),
    ),
    Mutation(
        "MADE: the order is not inverted to places",
        "plugins/genprob_autoregressive/made.py",
        "self.net(self.indicators(levels, known), torch.argsort(order))",
        "self.net(self.indicators(levels, known), order)",
        ("tests/plugins/genprob_autoregressive/test_ordered.py",),
    ),
    Mutation(
        "the mean over orders without log K",
        "plugins/genprob_autoregressive/ordered.py",
        "torch.logsumexp(each, 0) - math.log(len(each))",
        "torch.logsumexp(each, 0)",
        ("tests/plugins/genprob_autoregressive/test_ordered.py",),
    ),
    Mutation(
        "completions of a row with holes are not weighted",
        "plugins/genprob_autoregressive/ordered.py",
        "share = torch.softmax(log_weight, 1)\n            value",
        "share = torch.softmax(0 * log_weight, 1)\n            value",
        ("tests/plugins/genprob_autoregressive/test_ordered.py",),
    ),
    Mutation(
        "NADE: a column sees itself",
        "plugins/genprob_autoregressive/set_network.py",
        "torch.cat([nothing, ordered[:, :-1].cumsum(1)], 1)",
        "ordered.cumsum(1)",
        ("tests/plugins/genprob_autoregressive/test_ordered.py",),
    ),
    Mutation(
        "a bin's uniform density without its width",
        "plugins/genprob_autoregressive/bins.py",
        "torch.log(torch.where(empty, 1.0, b - a)) - torch.log(wide)",
        "torch.log(torch.where(empty, 1.0, b - a))",
        ("tests/plugins/genprob_autoregressive/test_bins.py",),
    ),
    Mutation(
        "flow: the encoder's log-Jacobian is missing",
        "plugins/genprob_flow/flow.py",
        "return self._log_flow(z) + self.encoder.log_jacobian(values).sum(-1)",
        "return self._log_flow(z)",
        ("tests/plugins/genprob_flow/test_flow.py",),
    ),
    Mutation(
        "flow: a proposal's truncation is left out of its density",
        "plugins/genprob_flow/guide.py",
        "torch.log(scale) - total",
        "torch.log(scale)",
        ("tests/plugins/genprob_flow/test_flow.py",),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=2, help="how many are tried side by side")
    parser.add_argument("--bugs-only", action="store_true", help="trust that the tests pass without a bug")
    parser.add_argument("-k", default="", help="only bugs whose words hold this")
    chosen = parser.parse_args()
    mutations = [m for m in MUTATIONS if chosen.k in m.bug]
    for mutation in mutations:
        patched(mutation)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="genprob-mutations-") as folder, ThreadPoolExecutor(chosen.n) as pool:
        copies: queue.Queue[Path] = queue.Queue()
        for i in range(chosen.n):
            copies.put(copy(Path(folder) / str(i)))
        files = [] if chosen.bugs_only else sorted({test for m in mutations for test in m.tests})
        sound = list(pool.map(lambda test: tried(copies, None, (test,)), files))
        broken = [test for test, (failed, _) in zip(files, sound, strict=True) if failed]
        if broken:
            raise SystemExit(f"these tests fail without any bug: {', '.join(broken)}")
        found = list(pool.map(lambda m: tried(copies, m, m.tests), mutations))
    rows = [
        {"bug": m.bug, "in": m.path, "caught": "yes" if failed else "NO", "by": by}
        for m, (failed, by) in zip(mutations, found, strict=True)
    ]
    caught = sum(failed for failed, _ in found)
    print(f"caught / planted: {caught} / {len(rows)} in {time.monotonic() - started:.0f} s", flush=True)
    if not chosen.k:
        text = (
            f"**Caught / planted: {caught} / {len(rows)}.** Each bug is one small change of one line, made in a copy "
            "of the source; then default tests of that place are run, which pass without it. `by` is the first that "
            "failed."
        )
        tables.write("mutations", "Planted bugs", text, rows, seed=0, packages=("torch", "pytest"))
    raise SystemExit(0 if caught == len(rows) else 1)


def patched(mutation: Mutation, root: Path = ROOT) -> str:
    """The source with the bug; `SystemExit` unless its place is there exactly once."""
    source = (root / mutation.path).read_text(encoding="utf-8")
    if (times := source.count(mutation.old)) != 1:
        raise SystemExit(f"{mutation.path}: {mutation.old!r} is there {times} times, not once ({mutation.bug})")
    return source.replace(mutation.old, mutation.new)


def copy(folder: Path) -> Path:
    """A copy of source and tests, its own git-free root."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def tried(copies: queue.Queue[Path], mutation: Mutation | None, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Whether a test fails in a copy with the bug, and which did first."""
    folder = copies.get()
    sound = (folder / mutation.path).read_text(encoding="utf-8") if mutation is not None else ""
    try:
        if mutation is not None:
            (folder / mutation.path).write_text(patched(mutation, folder), encoding="utf-8")
        path = os.pathsep.join(str(folder / part) for part in (".", "plugins", "cli"))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
        settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{mutation and mutation.bug}: no end within {SECONDS} s: {' '.join(tests)}") from None
        if done.returncode not in (0, 1):
            raise SystemExit(f"{mutation and mutation.bug}: pytest could not run:\n{done.stdout}\n{done.stderr}")
        failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
        told = f"`{failed[0].split('::', 1)[-1]}`" if failed else "-"
        print(f"{'caught' if done.returncode else 'MISSED' if mutation else 'sound '}  "
              f"{mutation.bug if mutation else tests[0]}  {told}", flush=True)  # fmt: skip
        return done.returncode == 1, told
    finally:
        if mutation is not None:
            (folder / mutation.path).write_text(sound, encoding="utf-8")
        copies.put(folder)


if __name__ == "__main__":
    main()
