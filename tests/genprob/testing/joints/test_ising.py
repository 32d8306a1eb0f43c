import numpy as np
import pytest

from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.ising import Ising, ring


@pytest.mark.parametrize(("spins", "coupling", "field"), [(3, 0.7, 0.0), (8, -0.4, 0.3), (12, 0.2, -0.5)])
def test_the_ring_has_the_transfer_matrix_s_partition_function(spins, coupling, field):
    transfer = np.exp([[coupling * a * b + 0.5 * field * (a + b) for b in (-1, 1)] for a in (-1, 1)])
    power = np.linalg.matrix_power(transfer, spins)
    joint = ring(spins, coupling, field)
    assert joint.log_partition == pytest.approx(np.log(np.trace(power)), rel=1e-12)
    pair = joint.log_prob([[1.0, 1.0, *[np.nan] * (spins - 2)]])[0]
    inner = transfer[1, 1] * np.linalg.matrix_power(transfer, spins - 1)[1, 1]
    assert pair == pytest.approx(np.log(inner / np.trace(power)), rel=1e-9)


def test_one_spin_given_the_others_is_logistic():
    joint = references()["ising"]
    row = joint.sample(1, 4)
    row[0, 3] = np.nan
    spins = 2 * np.nan_to_num(row[0]) - 1
    spins[3] = 0.0
    local = joint.coupling[3] @ spins + joint.field[3]
    p = joint.pmf(QueryBatch.from_values(joint.schema, row), "s4")[0, 1]
    assert p == pytest.approx(1 / (1 + np.exp(-2 * local)), abs=1e-12)


def test_draws_have_the_energy_of_the_states():
    joint = references()["ising"]
    rows = joint.sample(20_000, 2)
    energy = joint.log_mass(joint.states)
    share = np.exp(energy - joint.log_partition)
    mean, sd = share @ energy, np.sqrt(share @ (energy - share @ energy) ** 2)
    assert joint.log_mass(rows).mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(20_000))


def test_too_many_spins():
    with pytest.raises(UsageError, match="13 spins"):
        Ising(np.zeros((13, 13)), np.zeros(13))
