from __future__ import annotations

import subprocess
import sys

import pytest

from genprob import plugins
from genprob.errors import PluginError, UsageError

MODEL = 'ModelSpec("{name}", "{factory}", "a model", ("ml",))'
HOOKS = "from genprob.hookspecs import hookimpl\nfrom genprob.spec import ModelSpec\n"


def failures() -> dict[str, str]:
    return {failure.entry: str(failure) for failure in plugins.catalogue().failures}


def test_a_third_party_model_is_found_bare_and_qualified(site):
    site.model("third-party", "thing", "thing")
    spec = plugins.find("model", "thing")
    assert spec.factory == "json:dumps"
    assert plugins.find("model", "third-party:thing") is spec
    assert plugins.find("model", "Third_Party:thing") is spec
    assert (spec, "third-party") in plugins.specs("model")


def test_a_plugin_that_raises_at_import_is_kept_as_a_failure_and_the_others_load(site):
    site.install("broken-dist", "broken", "raise RuntimeError('no such device')")
    site.model("third-party", "thing", "thing")
    assert plugins.find("model", "thing").name == "thing"
    (failure,) = [f for f in plugins.catalogue().failures if f.entry == "broken"]
    assert (failure.distribution, str(failure.error)) == ("broken-dist", "no such device")
    with pytest.raises(UsageError, match=r"unknown model 'brokn'.*broken-dist:broken: RuntimeError: no such device"):
        plugins.find("model", "brokn")


def test_a_plugin_that_exits_at_import_is_a_failure(site):
    site.install("exiting", "leaver", "import sys; sys.exit(3)")
    assert "sys.exit(3)" in failures()["leaver"]


def test_a_missing_dependency_is_a_failure(site):
    site.install("needy", "needy", "import a_library_that_nobody_has")
    assert "a_library_that_nobody_has" in failures()["needy"]


def test_a_plugin_that_prints_at_import_does_not_print_on_stdout(site):
    site.install("loud", "loud", f"print('hello')\n{HOOKS}\ndef genprob_models():\n    print('again')\n    return []\n")
    code = "from genprob import plugins; plugins.catalogue(); print([p.name for p in plugins.catalogue().plugins])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site.folder)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("[") and "'loud'" in done.stdout
    assert "hello" in done.stderr and "again" in done.stderr


def test_a_misspelt_hook_is_found_and_the_other_hooks_count(site):
    spec = MODEL.format(name="thing", factory="json:dumps")
    site.install(
        "speller",
        "speller",
        f"{HOOKS}\ndef genprob_models():\n    return [{spec}]\n\n@hookimpl\ndef genprob_infernces():\n    return []\n",
    )
    assert "did you mean 'genprob_inferences'" in failures()["speller"]
    assert plugins.find("model", "thing")


def test_an_unmarked_hook_counts(site):
    spec = MODEL.format(name="thing", factory="json:dumps")
    site.install("plain", "plain", f"{HOOKS}\ndef genprob_models():\n    return [{spec}]\n")
    assert plugins.find("model", "thing")
    assert "plain" not in failures()


def test_a_hook_with_a_wrong_signature_is_a_failure(site):
    site.install("signer", "signer", f"{HOOKS}\n@hookimpl\ndef genprob_models(schema):\n    return []\n")
    assert "schema" in failures()["signer"]


def test_a_module_without_hooks_is_a_failure(site):
    site.install("empty", "empty", "x = 1")
    assert "no hook" in failures()["empty"]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("['thing']", "no ModelSpec"),
        ("None", "returned None"),
        ("3", "not iterable"),
        (f"[{MODEL.format(name='a:b', factory='json:dumps')}]", "can not be a name"),
        (f"[{MODEL.format(name='ab', factory='json.dumps')}]", "module:attr"),
    ],
)
def test_a_hook_that_returns_nonsense_is_a_failure(site, returned, message):
    site.install("odd", "odd", f"{HOOKS}\n@hookimpl\ndef genprob_models():\n    return {returned}\n")
    assert message in failures()["odd"]


def test_a_name_clash_names_both_distributions_and_the_qualified_name_works(site):
    site.model("first-dist", "one", "same", "json:dumps")
    site.model("second-dist", "two", "same", "json:loads")
    with pytest.raises(PluginError, match=r"first-dist and by second-dist.*first-dist:same or second-dist:same"):
        plugins.find("model", "same")
    assert plugins.find("model", "second-dist:same").factory == "json:loads"
    assert [owner for spec, owner in plugins.specs("model") if spec.name == "same"] == ["first-dist", "second-dist"]


def test_one_distribution_that_offers_a_name_twice_is_told_so(site):
    site.model("doubler", "one", "same")
    site.model("doubler", "two", "same")
    with pytest.raises(PluginError, match="twice, in one and two"):
        plugins.find("model", "doubler:same")


def test_an_unknown_name_is_a_usage_error_with_the_nearest(site):
    site.model("third-party", "thing", "thing")
    with pytest.raises(UsageError, match="unknown model 'thng'; did you mean 'thing'"):
        plugins.find("model", "thng")


def test_the_variable_keeps_the_named_ones_and_the_core(site, monkeypatch):
    site.model("third-party", "thing", "thing")
    site.model("third-party-two", "other", "other")
    monkeypatch.setenv("GENPROB_PLUGINS", "thing")
    names = {plugin.name for plugin in plugins.catalogue().plugins} | {f.entry for f in plugins.catalogue().failures}
    assert "thing" in names and "datasets" in names and "other" not in names
    assert "other" in plugins.catalogue().disabled
    with pytest.raises(UsageError):
        plugins.find("model", "other")


def test_the_variable_drops_one(site, monkeypatch):
    site.install("broken-dist", "broken", "raise RuntimeError('never imported')")
    monkeypatch.setenv("GENPROB_PLUGINS", "-broken-dist:broken")
    assert "broken" not in failures()
    assert "broken_dist_broken" not in sys.modules


def test_an_unknown_name_in_the_variable_is_a_usage_error(site, monkeypatch):
    site.model("third-party", "thing", "thing")
    monkeypatch.setenv("GENPROB_PLUGINS", "-thng")
    with pytest.raises(UsageError, match=r"no plugin 'thng'.*did you mean 'thing'"):
        plugins.catalogue()


def test_resolve_finds_nested_attributes():
    assert plugins.resolve("collections:OrderedDict.fromkeys") is not None


def test_resolve_names_distribution_and_cause(site):
    site.model("third-party", "thing", "thing", factory="third_party_model:Thing")
    with pytest.raises(PluginError, match="third-party: third_party_model:Thing: import failed: ModuleNotFoundError"):
        plugins.resolve("third_party_model:Thing")
    (site.folder / "third_party_model.py").write_text("import sys\nprint('loading')\nsys.exit('bye')\n")
    with pytest.raises(PluginError, match="SystemExit: bye"):
        plugins.resolve("third_party_model:Thing")
    (site.folder / "third_party_model.py").write_text("class Other: ...\n")
    with pytest.raises(PluginError, match="has no attribute 'Thing'"):
        plugins.resolve("third_party_model:Thing")


@pytest.mark.parametrize("reference", ["json", "json:", ":dumps", "json dumps", "os:system('x')", "/tmp/x.py:f"])
def test_resolve_refuses_what_is_no_reference(reference):
    with pytest.raises(PluginError, match="module:attr"):
        plugins.resolve(reference)


def test_a_reference_from_a_file_is_only_imported_if_a_plugin_provides_it(site):
    (site.folder / "stranger.py").write_text("raise RuntimeError('imported')")
    with pytest.raises(PluginError, match="not imported"):
        plugins.resolve("stranger:Thing", enabled=True)
    assert "stranger" not in sys.modules
    assert plugins.resolve("genprob.errors:DataError", enabled=True)
