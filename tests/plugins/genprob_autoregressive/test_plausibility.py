"""The quick density of rows: alike row by row and mask by mask, holes filled with what belongs there."""

from dataclasses import replace

import pytest
import torch

from genprob_autoregressive.plausibility import completed


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    return shaken(mixed, stated={"income": {"support": "real", "measure": "lebesgue"}, "age": "cell(1)"})


def test_rows_seen_through_a_mask_score_as_rows_that_know_no_more(joint):
    batch = joint.reference.take(torch.arange(40))
    masks = torch.rand(6, joint.schema.width, generator=torch.Generator().manual_seed(0)) < 0.5
    found = joint.model.score_masks(batch, masks)
    for mask, scores in zip(masks, found, strict=True):
        alone = joint.model.score_rows(replace(batch, observed=batch.observed & mask))
        assert torch.allclose(scores, alone)


def test_holes_of_reference_rows_change_nothing_where_a_mask_does_not_look(joint):
    batch = joint.reference.take(torch.arange(40))
    holed = replace(batch, observed=batch.observed & torch.tensor([True, False, True, True, False, False]))
    masks = torch.tensor([[True, False, True, True, False, False], [False, False, True, False, False, False]])
    assert torch.allclose(joint.model.score_masks(holed, masks), joint.model.score_masks(batch, masks))


def test_filled_rows_are_feasible_and_as_likely_as_rows_of_the_data(joint):
    batch = joint.reference
    holes = torch.rand(batch.observed.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    filled = completed(joint.model, replace(batch, observed=batch.observed & ~holes))
    assert torch.equal(filled[~holes], batch.values.double()[~holes])
    assert torch.equal(filled, completed(joint.model, replace(batch, observed=batch.observed & ~holes)))
    names = list(joint.schema.names)
    age, visits, g = (filled[:, names.index(name)] for name in ("age", "visits", "g"))
    assert torch.equal(age, age.round()) and bool((visits >= 0).all()) and set(g.tolist()) <= {0.0, 1.0, 2.0}
    every = torch.ones(1, joint.schema.width, dtype=torch.bool)
    own = joint.model.score_masks(batch, every)[0]
    of_filled = joint.model.score_masks(replace(batch, observed=batch.observed & ~holes), every)[0]
    assert abs(float(own.mean() - of_filled.mean())) < 0.5 * float(own.std())
