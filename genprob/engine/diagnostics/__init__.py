"""Diagnostics of Markov chains, in torch: draws come first, chains second, and all other dimensions are a batch."""

from genprob.engine.diagnostics.ebfmi import ebfmi
from genprob.engine.diagnostics.ess import ess, ess_bulk, ess_quantile, ess_tail
from genprob.engine.diagnostics.mcse import mcse_mean, mcse_quantile
from genprob.engine.diagnostics.rhat import nested_rhat, rhat

__all__ = ["ebfmi", "ess", "ess_bulk", "ess_quantile", "ess_tail", "mcse_mean", "mcse_quantile", "nested_rhat", "rhat"]
