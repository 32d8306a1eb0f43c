"""The inferences that come with genprob; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import InferenceSpec


@hookimpl
def genprob_inferences() -> Iterable[InferenceSpec]:
    yield InferenceSpec(
        name="em",
        factory="genprob.engine.inferences.em:em",
        summary="expectation maximisation on sufficient statistics",
        reference="Dempster, Laird and Rubin 1977",
    )
    yield InferenceSpec(
        name="elbo",
        factory="genprob.engine.inferences.elbo:elbo",
        summary="stochastic variational inference of a model/guide pair",
        reference="Hoffman et al. 2013",
    )
    yield InferenceSpec(
        name="iwae",
        factory="genprob.engine.inferences.iwae:iwae",
        summary="variational inference by the importance-weighted bound",
        reference="Burda, Grosse and Salakhutdinov 2016; Tucker et al. 2019",
    )
    yield InferenceSpec(
        name="ml",
        factory="genprob.engine.inferences.ml:ml",
        summary="maximum likelihood by gradients of an exact log-density",
        reference="Fisher 1922",
    )
    yield InferenceSpec(
        name="pcd",
        factory="genprob.engine.inferences.pcd:pcd",
        summary="stochastic maximum likelihood of an energy, with persistent chains",
        reference="Younes 1989; Tieleman 2008",
    )
    yield InferenceSpec(
        name="cd",
        factory="genprob.engine.inferences.cd:cd",
        summary="contrastive divergence of an energy, with chains from the data",
        reference="Hinton 2002",
    )
    yield InferenceSpec(
        name="pseudolikelihood",
        factory="genprob.engine.inferences.pseudolikelihood:pseudolikelihood",
        summary="every discrete variable given all others, without chains",
        reference="Besag 1975",
    )
    yield InferenceSpec(
        name="replay",
        factory="genprob.engine.inferences.replay:replay",
        summary="maximum likelihood of an energy by short chains from a buffer",
        reference="Du and Mordatch 2019",
    )
    yield InferenceSpec(
        name="nce",
        factory="genprob.engine.inferences.nce:nce",
        summary="noise-contrastive estimation of an energy",
        reference="Gutmann and Hyvarinen 2010",
    )
    yield InferenceSpec(
        name="adversarial",
        factory="genprob.engine.inferences.adversarial:adversarial",
        summary="a game of critic and generator",
        reference="Goodfellow et al. 2014",
    )
    yield InferenceSpec(
        name="dsm",
        factory="genprob.engine.inferences.dsm:dsm",
        summary="denoising score matching",
        reference="Vincent 2011",
    )
    yield InferenceSpec(
        name="walkback",
        factory="genprob.engine.inferences.walkback:walkback",
        summary="denoising along walks of the learned chain",
        reference="Bengio et al. 2013",
    )
    yield InferenceSpec(
        name="hmc",
        factory="genprob.engine.inferences.hmc:hmc",
        summary="Hamiltonian Monte Carlo of a posterior, adapted first and then frozen",
        reference="Duane et al. 1987",
        programs=True,
    )
    yield InferenceSpec(
        name="nuts",
        factory="genprob.engine.inferences.nuts:nuts",
        summary="the no-U-turn sampler of a posterior, adapted first and then frozen",
        reference="Hoffman and Gelman 2014",
        programs=True,
    )
