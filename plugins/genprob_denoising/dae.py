"""The denoising autoencoder for a schema: Gaussian noise and a score where all is real, else reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.model import Model
from genprob_denoising.autoencoder import DAE, EnergyDAE
from genprob_denoising.gsn import GSN


def dae(
    schema: Schema,
    *,
    form: Literal["auto", "energy", "plain", "reconstruction"] = "auto",
    sigma: float | None = None,
    replace: float = 0.1,
    hide: float = 0.1,
    hidden: Sequence[int] = (128, 128),
    finish: bool = True,
    contract: float = 0.0,
    sparse: float = 0.0,
) -> Model:
    """A denoising autoencoder: `EnergyDAE` or `DAE` over reals, `GSN` over other types.

    Arguments:
        schema: variables of any support.
        form: energy (reals only: a density, answers consistent), plain (reals only: a score, answers heuristic),
            reconstruction (any types: a chain, answers heuristic); auto is energy where all variables are real.
        sigma: standard deviation of the Gaussian noise on reals, in those of the data; None is 0.2 for a score,
            0.5 for reconstruction.
        replace: of reconstruction: probability that a category, binary or count is replaced by another row's.
        hide: of reconstruction: probability that a cell is hidden.
        hidden: sizes of the network's layers.
        finish: of energy and plain: take noise off draws and answers by Tweedie's formula.
        contract: of energy and plain: weight of the squared Jacobian of the code, the last hidden layer, in the loss.
        sparse: of energy and plain: weight of the code's absolute values in the loss.
    """
    kinds = ("auto", "energy", "plain", "reconstruction")
    if form not in kinds:
        raise UsageError(f"option form={form!r}: one of {', '.join(kinds)}")
    if form == "reconstruction" or (form == "auto" and any(v.discrete for v in schema)):
        if contract or sparse:
            raise UsageError("contract and sparse are penalties of forms energy and plain, over real variables alone")
        return GSN(schema, hidden=hidden, sigma=0.5 if sigma is None else sigma, replace=replace, hide=hide)
    kind = DAE if form == "plain" else EnergyDAE
    about = {"hidden": hidden, "finish": finish, "contract": contract, "sparse": sparse}
    return kind(schema, sigma=0.2 if sigma is None else sigma, **about)
