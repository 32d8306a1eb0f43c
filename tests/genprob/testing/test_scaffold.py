"""A generated plugin: installed beside the package, listed, checked, and broken on purpose."""

import shutil

import numpy as np
import pytest

import genprob
from genprob import plugins
from genprob.errors import PluginError, UsageError
from genprob.testing import check
from genprob.testing.scaffold import scaffold
from genprob_cli.commands.plugin import plugin


@pytest.fixture
def installed(site, tmp_path):
    """The project as pip would lay it out on sys.path."""
    root = scaffold("two-factors", tmp_path)
    shutil.copytree(root / "genprob_two_factors", site.folder / "genprob_two_factors")
    info = site.folder / "genprob_two_factors-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: genprob-two-factors\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[genprob]\ntwo-factors = genprob_two_factors.hooks\n")
    plugins._load.cache_clear()
    return site.folder / "genprob_two_factors"


def test_it_passes_as_written(installed):
    answer = plugin("check", "genprob-two-factors")
    (report,) = answer.document["reports"]
    broken = [c for c in report["clauses"] if c["outcome"] == "fail"]
    assert answer.error is None and not broken and len(report["clauses"]) > 10
    rng = np.random.default_rng(0)
    joint = genprob.fit({"x": rng.normal(size=60), "y": rng.normal(size=60)}, "two-factors", steps=5, latent=1)
    assert joint.query(["y"], {"x": 0.5}, draws=10).attrs["strategy"] == "importance"


def test_a_broken_model_exits_with_6(installed):
    model = installed / "model.py"
    model.write_text(model.read_text().replace("self.emit(self.decoder(code), batch)", "pass"))
    answer = plugin("check", "genprob_two_factors")
    assert isinstance(answer.error, PluginError) and answer.error.exit_code == 6


def test_what_cannot_be_written_or_checked_is_said(tmp_path):
    scaffold("twice", tmp_path)
    with pytest.raises(UsageError, match="exists"):
        scaffold("twice", tmp_path)
    with pytest.raises(UsageError, match="small letters"):
        scaffold("2nd", tmp_path)
    with pytest.raises(PluginError, match=r"no enabled plugin 'nothing'.*not installed"):
        plugin("check", "nothing")
    with pytest.raises(UsageError, match="unknown action"):
        plugin("make", "it")


def test_the_battery_finds_a_sampler_that_is_not_its_law():
    from genprob_mixture.mixture import Mixture

    class Shifted(Mixture):
        def draw(self, draws):
            out = super().draw(draws)
            for j, v in enumerate(self.schema.columns):
                if v.cardinality:
                    out[:, j] = 0.0
            return out

    class Shouting(Mixture):
        def draw(self, draws):
            out = super().draw(draws)
            out[:, 0] = np.nan
            return out

    for model, clause in ((Shifted, "normalised"), (Shouting, "draws")):
        # the factory's own signature is the configuration, inherited here
        name = plugins.enlist(model, inferences=("em",))
        failed = [v.clause for v in check(name, steps=5, components=2).verdicts if v.outcome == "fail"]
        plugins._enlisted.pop(name)
        assert clause in failed
