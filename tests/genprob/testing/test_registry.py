import subprocess
import sys
from pathlib import Path

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


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "testing.md"


def test_the_page_lists_every_reference_and_its_accuracy():
    page = PAGE.read_text(encoding="utf-8")
    for name, reference in registry.references().items():
        assert f"| `{name}` |" in page, name
        assert reference.accuracy.split(";")[0] in page, name


def test_the_page_s_example_runs():
    code = PAGE.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    exec(compile(code, str(PAGE), "exec"), {})
