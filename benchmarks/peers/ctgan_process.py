"""Run by the environment's own Python: `python ctgan_process.py ROWS.csv DRAWS.csv LABELS EPOCHS DRAWS SEED`."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import torch
from ctgan import CTGAN


def main(given: str, taken: str, labels: str, epochs: str, draws: str, seed: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = labels.split(",") if labels else []
    rows = pd.read_csv(given, dtype=dict.fromkeys(names, str))
    model = CTGAN(epochs=int(epochs), enable_gpu=False)
    model.set_random_state(int(seed))
    begun = time.process_time()
    model.fit(rows, discrete_columns=names)
    seconds = time.process_time() - begun
    model.sample(int(draws)).to_csv(taken, index=False)
    Path(taken).with_suffix(".seconds").write_text(repr(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
