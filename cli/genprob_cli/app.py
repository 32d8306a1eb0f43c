"""The command `genprob`: finds the verb, loads it, runs it, prints its answer and turns errors into exit codes.

Verbs are entry points of group `genprob.commands`; only the one that was asked for is imported.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

import genprob
from genprob.errors import GenprobError, PluginError, UsageError
from genprob_cli.answer import Answer, write, write_error

GROUP = "genprob.commands"
TRACEBACK = "GENPROB_TRACEBACK"
SHARED = "Every verb takes --json: one JSON document on stdout, everything else on stderr."


class Interrupted(Exception):
    """A `KeyboardInterrupt` carried through the option parser, which would swallow its message."""


def main() -> NoReturn:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; whatever it prints goes to `sys.stdout` and `sys.stderr`."""
    words, json = _without_json(arguments)
    stdout = sys.stdout
    received: list[int] = []
    try:
        with contextlib.ExitStack() as stack:
            if json:
                stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            stack.enter_context(_terminable(received))
            result = _dispatch(words)
        if not isinstance(result, Answer):
            return result if isinstance(result, int) else 0
        write(result, stdout, json)
        if result.error is not None:
            print(f"error: {_line(result.error)}", file=sys.stderr)
            return result.error.exit_code
        return 0
    except BrokenPipeError:
        _mute(stdout)
        return 128 + signal.SIGPIPE
    except BaseException as error:
        return _fail(error, stdout, json, bool(received))


def _dispatch(words: list[str]) -> Any:
    """Runs the verb; `--help` and `--version` need none."""
    verb = words[0] if words else ""
    if verb in ("--help", "-h"):
        print(overview())
        return 0
    if verb == "--version":
        return Answer({"version": genprob.__version__}, f"genprob {genprob.__version__}")
    if not verb:
        print(overview(), file=sys.stderr)
        raise UsageError("which verb? for example: genprob demo")
    function = load(verb)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as error:
            raise Interrupted(str(error) or "interrupted") from error

    return _parser(verb, guarded)(args=words[1:], prog_name=f"genprob {verb}", standalone_mode=False)


def _parser(verb: str, function: Callable[..., Any]) -> Any:
    """The option parser of a verb, made from its annotated parameters."""
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    lines = getattr(function, "examples", ())
    shown = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + "\n\n" if lines else ""
    app.command(name=verb, epilog=shown + SHARED)(function)
    return typer.main.get_command(app)


def verbs() -> dict[str, list[EntryPoint]]:
    """The entry points behind each verb, in order of name; more than one where distributions clash."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, []).append(entry)
    return found


def load(verb: str) -> Callable[..., Any]:
    """The function of a verb. Raises `UsageError` for an unknown one, `PluginError` if it is broken or ambiguous."""
    from genprob.plugins import near, resolve

    known = verbs()
    if verb not in known:
        raise UsageError(f"unknown verb {verb!r}; {near(verb, known)}")
    entries = known[verb]
    if len(entries) > 1:
        owners = " and ".join(sorted(_distribution(entry) for entry in entries))
        raise PluginError(f"verb {verb!r} comes from {owners}; uninstall one of them")
    try:
        return resolve(entries[0].value)
    except PluginError as error:
        raise PluginError(f"verb {verb!r} of {_distribution(entries[0])}: {error}") from error


def overview() -> str:
    """What `genprob --help` prints; no verb is imported for it."""
    rows = [(verb, _summary(entries)) for verb, entries in verbs().items()]
    width = max((len(verb) for verb, _ in rows), default=0)
    listed = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in rows)
    return f"""Usage: genprob VERB [ARGUMENTS] [--json]

Learn a joint distribution once, ask it any question, and be told how far to trust the answer.

Verbs:
{listed}

Options:
  --version  the version
  --help     this text; genprob VERB --help for a verb's own

Examples:
  genprob demo
  genprob fit table.csv --out runs/a
  genprob query runs/a --target price --given 'carat=0.5..0.6' --given 'cut in Good,Ideal' --out answer.nc

Exit codes: 0 ok, 1 internal, 2 usage, 3 data, 4 corrupt file, 5 run busy, 6 plugin, 7 diverged, 8 unreliable,
9 out of resources, 130 interrupted, 143 terminated."""


def _summary(entries: list[EntryPoint]) -> str:
    """The first line of one of our own modules, read without importing it; the owner's name for others."""
    entry = entries[0]
    package, _, name = entry.module.rpartition(".")
    if len(entries) > 1 or package != "genprob_cli.commands":
        return f"(from {', '.join(_distribution(entry) for entry in entries)})"
    source = Path(__file__).with_name("commands") / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _without_json(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments less `--json` (every verb has it), and whether it was there; what follows `--` is left alone."""
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:cut] if word != "--json"]
    return options + words[cut:], len(options) < cut


@contextlib.contextmanager
def _terminable(received: list[int]) -> Generator[None]:
    """Makes SIGTERM unwind as Ctrl-C does, so that a fit saves a checkpoint; the list tells that it came."""

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # a shell's background job ignores SIGINT
            raise KeyboardInterrupt("terminated")
        interrupt(signal.SIGINT, frame)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(error: BaseException, stdout: IO[str], json: bool, terminated: bool) -> int:
    """One line on stderr (and a document on stdout under --json) and the exit code of an exception."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    kind, message, code = type(error).__name__, _line(error), 1
    if isinstance(error, GenprobError):
        code = error.exit_code
    elif isinstance(error, (Interrupted, KeyboardInterrupt)):
        kind, message, code = "Interrupted", message or "interrupted", 143 if terminated else 130
    elif isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        message, code = f"out of {'memory' if isinstance(error, MemoryError) else 'disk space'}: {message}", 9
    elif isinstance(error, OSError) and error.filename is not None:
        kind, code = UsageError.__name__, UsageError.exit_code
        message = f"{error.filename}: {error.strerror}"
    elif hasattr(error, "format_message"):  # what the option parser raises
        kind, code = UsageError.__name__, UsageError.exit_code
        message = error.format_message().strip()  # pyright: ignore[reportAttributeAccessIssue]
    else:
        message = f"internal: {type(error).__name__}: {message}; set {TRACEBACK}=1 to see where"
    print(f"error: {message}", file=sys.stderr)
    try:
        if json:
            write_error(kind, message, code, stdout)
        stdout.flush()
    except OSError:
        _mute(stdout)
    return code


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _mute(stdout: IO[str]) -> None:
    """What could not be written shall not be tried again when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
