from __future__ import annotations

import io

from genprob_cli import progress as module
from genprob_cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(step, steps=100, **more):
    return {"phase": "em", "step": step, "steps": steps, "metrics": {"objective": -3.14159}, **more}


def test_piped_progress_is_plain_lines_with_eta_and_metrics(monkeypatch):
    clock = iter([0.0, 10.0, 11.0, 100.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    file = io.StringIO()
    with Progress(file) as progress:
        for step in (0, 10, 11, 100):
            progress(event(step))
        progress({"message": "a note"})
    lines = file.getvalue().splitlines()
    assert lines == [
        "em step 0/100  objective -3.142",
        "em step 10/100  1m30s left  objective -3.142",
        "em step 100/100  objective -3.142",
        "a note",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_live_loss():
    file = Terminal()
    with Progress(file) as progress:
        progress(event(1))
        progress({"message": "a note"})
        progress(event(50))
        progress._bar.refresh()
    text = file.getvalue()
    assert "50/100" in text and "objective -3.142" in text and "a note" in text


def test_a_phase_without_an_end_has_no_eta():
    file = io.StringIO()
    with Progress(file) as progress:
        progress(event(3, steps=None))
    assert file.getvalue() == "em step 3  objective -3.142\n"


def test_the_watched_metric_is_shown_alone():
    file = io.StringIO()
    with Progress(file) as progress:
        progress(event(3, watch="objective", metrics={"objective": 1.0, "step_size": 2.0, "held_out": 3.0}))
    assert file.getvalue() == "em step 3/100  objective 1  held_out 3\n"


def test_clocks():
    assert [module._clock(s) for s in (3, 63, 3723)] == ["3s", "1m03s", "1h02m"]
