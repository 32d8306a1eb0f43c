"""A report says what a model's author is to do next."""

import torch

import genprob.testing
from genprob.testing import clauses, contract


def test_an_overspent_budget_names_the_longest_clause_and_the_way_out(monkeypatch):
    monkeypatch.setattr(contract, "CLAUSES", (clauses.options_are_the_signature, clauses.fits))
    report = genprob.testing.check("mixture", components=2, steps=5, seconds=0.0)
    assert not report.ok
    assert "most in 'fits'; check(..., seconds=) allows more" in report.verdicts[-1].detail


def test_a_waived_clause_names_the_method_that_is_missing(monkeypatch):
    class Mute(genprob.Model):
        inferences = ("ml",)

        def __init__(self, schema):
            super().__init__(schema)
            self.centre = torch.nn.Parameter(torch.zeros(1, self.emission_width))

        def log_density(self, batch):
            assert self.heads is not None
            return self.heads.log_likelihood(self.centre.expand(len(batch), -1), batch)

    monkeypatch.setattr(contract, "CLAUSES", (clauses.fits, clauses.draws, clauses.log_prob))
    details = [v.detail for v in genprob.testing.check(Mute, steps=5).verdicts]
    assert "no draw(draws)" in details[1] and "no log_evidence(queries)" in details[2]
