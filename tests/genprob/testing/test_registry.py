import subprocess
import sys

import pytest

from genprob.testing import ReferenceJoint, registry


@pytest.mark.parametrize("name", registry.references())
def test_instances_are_small_and_say_how_exact_they_are(name):
    reference = registry.references()[name]
    assert isinstance(reference, ReferenceJoint)
    assert reference.accuracy
    assert 1 < reference.schema.width <= 20
    assert registry.built(name) is reference
    for variable in reference.schema:
        assert reference.kinds(variable.name)


def test_building_them_is_quick_and_needs_no_torch():
    """Grids and tables wait until they are asked."""
    code = (
        "import sys, time, numpy, scipy.stats, scipy.interpolate, genprob.query.empirical; from genprob import testing;"
        "from genprob.testing import registry; names = list(registry._BUILT); worst = 0\n"
        "for n in names:\n"
        "    started = time.process_time(); registry.built(n); worst = max(worst, time.process_time() - started)\n"
        "assert worst < 0.2, worst\n"
        "assert 'torch' not in sys.modules and 'pyro' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name():
    from genprob import testing

    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing
