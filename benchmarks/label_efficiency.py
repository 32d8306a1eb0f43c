"""What a code learned without labels is worth: probes at 10, 100 and 1,000 labels, and labels of another domain."""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from benchmarks import tables
from benchmarks.timing import threads

LATENT, TRAIN, LABELS = 16, 1400, (10, 100, 1000)
INFERENCE = {"name": "elbo", "lr": 3e-3, "batch_size": 128}
SHIFTS = ("bold", "moved", "inverted")
"""Target domains: ink from 2.5 of 16 on instead of 7.5; one pixel to the right; ink and paper exchanged."""

Images = NDArray[np.float64]
Features = dict[str, tuple[Images, Images]]


def images(grey: Images, domain: str = "source") -> Images:
    """Binary images of a domain, `[n, 8, 8]`."""
    ink = (grey > (2.5 if domain == "bold" else 7.5)).astype(np.float64)
    if domain == "moved":
        ink = np.concatenate([np.zeros_like(ink[..., :1]), ink[..., :-1]], -1)
    return 1 - ink if domain == "inverted" else ink


def coded(unlabelled: Images, shown: tuple[Images, Images], seed: int, steps: int) -> Features:
    """What classifiers are shown of labelled and of test images: pixels, components and codes of the unlabelled."""
    import genprob
    from genprob.questions.codes import encode

    def rows(of: Images) -> xr.Dataset:
        return xr.Dataset({"image": (("row", "y", "x"), of.astype(np.int64))})

    joint = genprob.fit(
        rows(unlabelled), "vae", schema={"image": "binary"}, seed=seed, steps=steps, latent=LATENT, inference=INFERENCE
    )
    flat = [part.reshape(len(part), -1) for part in shown]
    reduce = PCA(LATENT, random_state=seed).fit(unlabelled.reshape(len(unlabelled), -1))
    first, second = (encode(joint, rows(part))["code"].values for part in shown)
    return {
        "pixels": (flat[0], flat[1]),
        "16 components": (reduce.transform(flat[0]), reduce.transform(flat[1])),
        "code": (first, second),
    }


def probed(features: Features, labels: NDArray[Any], truth: NDArray[Any], seed: int) -> dict[str, float]:
    """Test accuracy of a linear classifier of each kind of feature, and of a network of the pixels."""
    count = len(labels)
    found = {
        f"linear on {name}": float(LogisticRegression(max_iter=2000).fit(a[:count], labels).score(b, truth))
        for name, (a, b) in features.items()
    }
    network = MLPClassifier((128,), max_iter=400, random_state=seed)
    a, b = features["pixels"]
    return found | {"network on pixels": float(network.fit(a[:count], labels).score(b, truth))}


def efficiency(seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Accuracy by number of labels; all training images are seen unlabelled."""
    grey, label, test = split(seed)
    features = coded(images(grey[:TRAIN]), (images(grey[:TRAIN]), images(grey[test])), seed, steps)
    return {f"{n} labels": probed(features, label[:n], label[test], seed) for n in LABELS}


def transfer(seed: int, steps: int, domain: str) -> dict[str, dict[str, float]]:
    """Accuracy on images of a target domain by labels of the source alone; both are seen unlabelled, half of each."""
    grey, label, test = split(seed)
    half = TRAIN // 2
    both = np.concatenate([images(grey[:half]), images(grey[half:TRAIN], domain)])
    features = coded(both, (images(grey[:half]), images(grey[test], domain)), seed, steps)
    return {f"{half} source labels, target {domain}": probed(features, label[:half], label[test], seed)}


def split(seed: int) -> tuple[Images, NDArray[Any], slice]:
    """Grey images and labels in an order of their own, and where the test images are."""
    found: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(found.target))
    return found.images[order], found.target[order], slice(TRAIN, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=800)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.process_time()
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with threads(1):
        for seed in range(chosen.seeds):
            parts = [efficiency(seed, chosen.steps), *(transfer(seed, chosen.steps, domain) for domain in SHIFTS)]
            for asked, found in ((asked, found) for part in parts for asked, found in part.items()):
                for name, accuracy in found.items():
                    scores[asked][name].append(accuracy)
            print(f"seed {seed}: {time.process_time() - start:.0f} s of processor", flush=True)
    rows = [{"given": asked} | {name: _mean(each) for name, each in found.items()} for asked, found in scores.items()]
    notes = [f"{chosen.seeds} seeds, {chosen.steps} steps a fit, {time.process_time() - start:.0f} s of processor."]
    tables.write("label_efficiency", "What a code is worth: few labels, another domain", TEXT, rows, 0, PACKAGES, notes)


def _mean(each: list[float]) -> str:
    error = np.std(each, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
    return f"{np.mean(each):.3f} +- {error:.3f}"


PACKAGES = ("torch", "numpy", "scikit-learn")
TEXT = (
    "scikit-learn's digits, 8 x 8, ink where the grey value is above 7.5 of 16; 1,400 training images and 397\n"
    "to test, another split and other labels for each seed. Share of test images that are classified right,\n"
    f"mean +- standard error over seeds. A `vae` with a code of {LATENT} numbers and as many principal\n"
    "components are fitted to images without labels; a linear classifier (logistic, scikit-learn's default\n"
    "penalty) is then fitted to the labelled images by their pixels, components, or codes (the guide's mean),\n"
    "and a network of 128 hidden units to the pixels. Nothing was tuned. First all training images are seen\n"
    "unlabelled and some labelled. Then half of them are of the source and half of a target domain, all seen\n"
    "unlabelled; labels are the source's alone and the test images the target's: `bold` counts as ink what is\n"
    "above 2.5 of 16, `moved` is one pixel to the right, `inverted` exchanges ink and paper."
)


if __name__ == "__main__":
    main()
