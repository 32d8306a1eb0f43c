"""Draws of a fitted posterior: rows predicted by them, and themselves, weighed by new evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genprob.engine.diagnostics.ess import ess_bulk
from genprob.query import chained, diagnostics
from genprob.query.batch import QueryBatch
from genprob.query.believed import Believed
from genprob.query.capabilities import Believes
from genprob.query.strategy import Answers, Offer, Refusal
from genprob.query.weighted import marginals

if TYPE_CHECKING:
    from genprob.joint import Joint

DRAWS = 4000
_MOST_CELLS = 16
"""Columns of a target whose effective sample size is looked at."""


class PosteriorDraws:
    """The draws that `nuts` or `hmc` left of a program's parameters, each with one row that it predicts.

    Without evidence they are the answer, in their chains. Evidence on a new row weighs each draw by the likelihood of
    it, which is exact as the draws grow, and holds as far as the new evidence moves the posterior no further than the
    draws reach: Pareto k-hat says when it does, and then the fit has to be done again with those rows. The computation
    also fails when the chains of the fit did not agree or many of their transitions diverged.

    See also: Gelfand, Dey and Chang 1992, Model determination using predictive distributions; Vehtari, Simpson,
    Gelman, Yao and Gabry 2024.
    """

    name = "posterior"
    roles = True

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Believes):
            return [Refusal("no parameters of the model are known by draws", lacking=True)] * len(queries)
        offer = Offer(
            "consistent", joint.model.law, "draws", float(DRAWS), "draws of the parameters, weighed by the evidence"
        )
        return [Refusal(why) if why else offer for why in joint.model.unpredictable(queries)]

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        model = joint.model
        assert isinstance(model, Believes) and model.believed is not None
        believed, total = model.believed, len(queries)
        index = believed.thinned(max(budget or DRAWS, believed.chains))
        values, log_weight = model.predict(queries, index)
        each = len(index) // believed.chains
        possible = np.asarray(np.isfinite(log_weight).any(1))
        plain = bool((log_weight == log_weight[:, :1]).all() and possible.all())
        safe = np.where(possible[:, None], diagnostics.pareto_smooth(log_weight), 0.0)
        mixing = _mixing(believed, queries, values, index)
        kish = diagnostics.effective_sample_size(np.where(possible[:, None], log_weight, 0.0))
        ess = np.where(possible, kish * mixing, 0.0)
        khat = np.full(total, np.nan) if plain else diagnostics.pareto_k(log_weight)
        asked = [name for name in queries.targets if name in believed.draws]
        worst = max((believed.rhat[name], name) for name in asked or believed.draws)
        if plain:
            place = np.arange(-(-draws // believed.chains)) * each // -(-draws // believed.chains)
            apart = values.reshape(total, believed.chains, each, -1)
            drawn = apart[:, :, place]
        else:
            share = torch.as_tensor(np.exp(safe - safe.max(1, keepdims=True)))
            which = torch.multinomial(share, draws, replacement=True).cpu().numpy()
            drawn = np.take_along_axis(values, which[..., None], 1)[:, None]
            drawn[~possible] = np.nan
        found = marginals(queries.schema, values[:, :, None], safe, queries.targets)
        wider = np.sqrt(1 / np.maximum(mixing, 1e-6))
        evidence = np.logaddexp.reduce(log_weight, axis=1) - np.log(len(index))
        return Answers(
            values=drawn,
            marginals={name: chained.wider(marginal, wider) for name, marginal in found.items()},
            log_evidence=evidence,
            log_evidence_se=diagnostics.log_mean_error(np.where(possible[:, None], log_weight, 0.0)) * wider,
            ess=ess,
            khat=khat,
            rhat=np.full(total, worst[0]),
            failures=[
                _failure(believed, len(index), bool(possible[q]), float(khat[q]), float(kish[q]), float(ess[q]))
                for q in range(total)
            ],
            stats={"diverging": np.full(total, believed.diverging)},
        )


def _mixing(believed: Believed, queries: QueryBatch, values: np.ndarray, index: torch.Tensor) -> np.ndarray:
    """`[Q]`, effective draws for each draw: of all draws kept where parameters alone are asked, else of those used."""
    asked = [name for name in queries.targets if name in believed.draws]
    if len(asked) == len(queries.targets):
        return np.full(len(queries), min(believed.ess[name] for name in asked or believed.draws) / len(index))
    columns = [c for n in queries.targets for c in range(queries.schema.width)[queries.schema.slices[n]][:_MOST_CELLS]]
    each = len(index) // believed.chains
    apart = values[..., columns].reshape(len(queries), believed.chains, each, -1)
    size = torch.nan_to_num(ess_bulk(torch.as_tensor(apart).permute(2, 1, 0, 3)), nan=float(len(index)))
    return size.amin(-1).clamp(max=len(index)).numpy() / len(index)


def _failure(believed: Believed, used: int, possible: bool, khat: float, kish: float, ess: float) -> str:
    if not possible:
        return f"no draw of {used} met the evidence"
    reasons = [believed.doubt()]
    if khat >= diagnostics.acceptable_k(used) and kish < used / 2:
        reasons.append(
            f"Pareto k-hat {khat:.2f} is above {diagnostics.acceptable_k(used):.2f}: the evidence moves the posterior "
            "further than its draws reach; fit again with these rows"
        )
    elif ess < chained.LEAST_ESS:
        reasons.append(f"{ess:.0f} effective draws are fewer than {chained.LEAST_ESS:.0f}")
    return "; ".join(filter(None, reasons))
