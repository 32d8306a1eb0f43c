"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import MetricSpec


@hookimpl
def genprob_metrics() -> Iterable[MetricSpec]:
    return (
        MetricSpec(
            "log_likelihood",
            "genprob_metrics.log_likelihood:LogLikelihood",
            "log p of rows, each by its known cells",
        ),
        MetricSpec(
            "conditional_log_likelihood",
            "genprob_metrics.conditional_log_likelihood:ConditionalLogLikelihood",
            "log p of the rest given some variables, or of hidden cells given the others",
        ),
        MetricSpec(
            "masked",
            "genprob_metrics.masked:Masked",
            "hidden cells drawn again: fair CRPS, fair energy score, log-loss of labels",
            "Gneiting and Raftery 2007; Ferro 2014",
        ),
        MetricSpec(
            "calibration",
            "genprob_metrics.calibration:Calibration",
            "hidden cells drawn again: does each interval hold the truth as often as it says?",
            "Czado, Gneiting and Held 2009",
        ),
        MetricSpec(
            "specialist_gap",
            "genprob_metrics.specialist_gap:SpecialistGap",
            "each variable given all others, beside boosted trees trained for that alone",
        ),
        MetricSpec(
            "two_sample",
            "genprob_metrics.two_sample:TwoSample",
            "can a classifier tell draws of the joint from rows?",
            "Lopez-Paz and Oquab 2017",
        ),
        MetricSpec(
            "energy_distance",
            "genprob_metrics.energy_distance:EnergyDistance",
            "distance between the law of the joint and that of the rows",
            "Szekely and Rizzo 2013",
        ),
        MetricSpec(
            "mmd",
            "genprob_metrics.mmd:MMD",
            "distance between draws and rows under a kernel, of the rows or as a classifier sees them",
            "Gretton et al. 2012",
        ),
        MetricSpec(
            "precision_recall",
            "genprob_metrics.precision_recall:PrecisionRecall",
            "are draws among the rows, and rows among the draws?",
            "Kynkaanniemi et al. 2019; Naeem et al. 2020",
        ),
        MetricSpec(
            "critic",
            "genprob_metrics.critic:Critic",
            "Wasserstein's distance as an independent critic sees it on unseen points",
            "Arjovsky et al. 2017; Danihelka et al. 2017",
        ),
        MetricSpec(
            "modes",
            "genprob_metrics.modes:Modes",
            "modes covered, share of good draws, divergence over modes",
            "Srivastava et al. 2017; Lin et al. 2018",
        ),
        MetricSpec(
            "memorisation",
            "genprob_metrics.memorisation:Memorisation",
            "are draws nearer to training rows than held-out rows are?",
            "Meehan, Chaudhuri and Dasgupta 2020",
        ),
        MetricSpec(
            "mixing",
            "genprob_metrics.mixing:Mixing",
            "how fast do the joint's own Markov chains move between modes?",
            "Bengio, Mesnil, Dauphin and Rifai 2013",
        ),
    )
