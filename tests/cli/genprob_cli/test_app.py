from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from genprob import errors
from genprob_cli import app
from genprob_cli.answer import Answer

GENPROB = [sys.executable, "-c", "from genprob_cli.app import main; main()"]
ERRORS = {
    "UsageError": 2,
    "DataError": 3,
    "CorruptFileError": 4,
    "RunBusyError": 5,
    "PluginError": 6,
    "Diverged": 7,
    "UnreliableError": 8,
    "ResourceError": 9,
}


@pytest.fixture
def verb(site):
    """Installs a verb `speak` whose body a test writes; gives the environment for a subprocess."""

    def write(body: str, head: str = "") -> dict[str, str]:
        source = f"{head}\nfrom genprob_cli.answer import Answer\nfrom genprob import errors\nimport os, signal, time\n"
        source += f"def speak(loud: bool = False):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        site.install("other-verbs", "speak", source, group="genprob.commands")
        return {**os.environ, "PYTHONPATH": str(site.folder)}

    return write


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GENPROB, *words], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "code"), ERRORS.items())
def test_every_error_is_one_line_and_its_exit_code(verb, name, code):
    done = run(verb(f"raise errors.{name}('row 3:\\n  not good')"), "speak")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "error: row 3: not good\n")
    assert getattr(errors, name).exit_code == code


@pytest.mark.parametrize(("name", "code"), ERRORS.items())
def test_under_json_an_error_is_the_one_document(verb, capsys, name, code):
    verb(f"print('noise'); raise errors.{name}('bad')")
    assert app.run(["speak", "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"type": name, "message": "bad", "exit_code": code}}
    assert err == "noise\nerror: bad\n"


def test_under_json_there_is_one_document_and_the_rest_goes_to_stderr(verb):
    environment = verb("print('chatter'); return Answer({'x': float('nan'), 'n': (1, 2)}, 'text')", "print('import')")
    done = run(environment, "speak", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"x": None, "n": [1, 2]}
    assert "import" in done.stderr and "chatter" in done.stderr


def test_an_answer_with_a_complaint_prints_both(verb, capsys):
    verb("return Answer({'y': 1}, 'y is 1', errors.UnreliableError('may not be trusted'))")
    assert app.run(["speak", "--json"]) == 8
    document = json.loads(capsys.readouterr().out)
    assert document["y"] == 1 and document["error"]["type"] == "UnreliableError"
    assert app.run(["speak"]) == 8
    assert capsys.readouterr() == ("y is 1\n", "error: may not be trusted\n")


def test_an_unexpected_error_is_one_line_unless_the_traceback_is_asked_for(verb):
    environment = verb("return 1 // 0")
    done = run(environment, "speak")
    assert done.returncode == 1
    assert done.stderr == (
        "error: internal: ZeroDivisionError: integer division or modulo by zero; set GENPROB_TRACEBACK=1 to see where\n"
    )
    assert "Traceback" in run({**environment, "GENPROB_TRACEBACK": "1"}, "speak").stderr


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise MemoryError()", 9, "out of memory"),
        ("raise OSError(28, 'No space left on device')", 9, "out of disk space"),
        ("open('/nowhere/at/all')", 2, "/nowhere/at/all: No such file or directory"),
        ("raise KeyboardInterrupt('stopped at step 3; use --resume')", 130, "stopped at step 3; use --resume"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
    ],
)
def test_other_ends(verb, capsys, body, code, message):
    verb(body)
    assert app.run(["speak"]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_unwind_the_verb(verb, number, code, site):
    # What runs in the background of a shell inherits SIGINT ignored; a person's command does not.
    body = """
    import signal
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print('ready', flush=True)
        time.sleep(60)
    finally:
        open(os.environ['PYTHONPATH'] + '/unwound', 'w').close()
    """
    process = subprocess.Popen(
        [*GENPROB, "speak"], env=verb(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err and err.startswith("error: ")
    assert (site.folder / "unwound").exists()


def test_a_term_reaches_whoever_took_over_interrupts(verb):
    """A fit sets its own handler for Ctrl-C, to end the step in progress; SIGTERM must come to it too."""
    body = """
    came = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    raise KeyboardInterrupt(f"saved after {len(came)}")
    """
    done = run(verb(body), "speak")
    assert (done.returncode, done.stderr) == (143, "error: saved after 1\n")


def test_a_closed_pipe_is_quiet(verb):
    environment = verb("return Answer({}, 'line\\n' * 100000)")
    process = subprocess.Popen([*GENPROB, "speak"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 141
    assert err == b""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modls"], "unknown verb 'modls'; did you mean 'models'?"),
        (["models", "--nonsense"], "No such option: --nonsense"),
        (["fit"], "Missing"),
        (["sample", "somewhere", "--draws", "many", "--out", "a.nc"], "--draws"),
        (["sample", "somewhere", "--draws", "0", "--out", "a.nc"], "--draws"),
        (["sample", "somewhere"], "--out"),
        ([], "which verb?"),
    ],
)
@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_usage_errors_exit_with_two(capsys, words, message, json_option):
    assert app.run([*words, *json_option]) == 2
    out, err = capsys.readouterr()
    assert message in err and "error: " in err
    if json_option:
        assert json.loads(out)["error"] | {"message": ""} == {"type": "UsageError", "message": "", "exit_code": 2}
    else:
        assert out == ""


def test_json_after_a_double_dash_is_an_argument():
    assert app._without_json(["show", "--json", "--", "--json"]) == (["show", "--", "--json"], True)
    assert app._without_json(["show", "--", "--json"]) == (["show", "--", "--json"], False)


def test_a_verb_that_two_distributions_offer_is_refused(verb, capsys, site):
    verb("return None")
    site.install("more-verbs", "speak", "speak = print", group="genprob.commands")
    assert app.run(["speak"]) == 6
    assert "more-verbs and other-verbs" in capsys.readouterr().err


def test_plugins_shows_failures_and_strict_counts_them(site, capsys):
    site.install("broken-dist", "broken", "print('noise')\nraise RuntimeError('no such device')")
    site.model("third-party", "thing", "thing")
    assert app.run(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "broken-dist:broken: RuntimeError: no such device" in out and "third-party" in out
    assert app.run(["plugins", "--strict", "--json"]) == 6
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["failures"] == [
        {"distribution": "broken-dist", "entry": "broken", "type": "RuntimeError", "message": "no such device"}
    ]
    assert said["error"]["exit_code"] == 6 and "broken-dist:broken" in err


def test_models_of_two_distributions_are_both_listed(site, capsys):
    site.model("first-dist", "one", "same")
    site.model("second-dist", "two", "same")
    assert app.run(["models", "--json"]) == 0
    owners = [m["distribution"] for m in json.loads(capsys.readouterr().out)["models"] if m["name"] == "same"]
    assert owners == ["first-dist", "second-dist"]
    assert app.run(["models", "same"]) == 6
    assert "first-dist:same or second-dist:same" in capsys.readouterr().err


def test_a_verb_that_can_not_be_imported_names_its_distribution(verb, capsys):
    verb("return None", head="import a_library_that_nobody_has")
    assert app.run(["speak"]) == 6
    assert re.search("verb 'speak' of other-verbs: .*a_library_that_nobody_has", capsys.readouterr().err)
    assert app.run(["--help"]) == 0
    assert "(from other-verbs)" in capsys.readouterr().out


def test_help_lists_every_verb_and_imports_none(tmp_path):
    code = (
        "import sys; from genprob_cli import app; app.run(['--help']); "
        "print([m for m in ('typer', 'rich', 'numpy', 'torch') if m in sys.modules], file=sys.stderr); "
        "print([m for m in sys.modules if m.startswith('genprob_cli.commands.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == "[]\n[]\n"
    for name in app.verbs():
        assert re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("verb_name", sorted(app.verbs()))
def test_every_help_has_examples_and_loads_nothing_heavy(verb_name, capsys):
    assert app.run([verb_name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"  genprob {verb_name}" in out.partition("Examples:")[2]
    assert "--json" in out


def test_help_of_a_verb_loads_neither_numpy_nor_torch(tmp_path):
    code = (
        "import sys; from genprob_cli import app\n"
        "for name in app.verbs(): assert app.run([name, '--help']) == 0, name\n"
        "assert not {'numpy', 'torch', 'xarray'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)


def test_help_is_quick(tmp_path):
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*GENPROB, "--help"], capture_output=True, check=True, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Processor seconds, the best of five: other work may share the cores.
    assert min(took) < 0.3


def test_version(capsys):
    import genprob

    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"genprob {genprob.__version__}\n"
    assert app.run(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": genprob.__version__}


def test_every_verb_is_documented_by_its_module():
    folder = Path(app.__file__).with_name("commands")
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(app.verbs())


def test_an_answer_is_plain():
    import numpy as np

    from genprob_cli.answer import plain

    assert plain({"a": np.float64("nan"), "b": np.arange(2), 3: {"c": float("inf")}}) == {
        "a": None,
        "b": [0, 1],
        "3": {"c": None},
    }
    assert plain(Answer) == str(Answer)
