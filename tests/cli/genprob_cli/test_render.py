from __future__ import annotations

import io

from genprob_cli.answer_view import trust, variables
from genprob_cli.render import cell, show, stack, table


def shown(view) -> str:
    file = io.StringIO()
    show(view, file)
    return file.getvalue()


def test_cells():
    values = (1.23456, float("nan"), None, True, 12, "text")
    assert [cell(value) for value in values] == ["1.235", "-", "-", "yes", "12", "text"]


def test_piped_tables_keep_one_line_per_row_and_no_trailing_blanks():
    lines = shown(table(("name", "value"), [("x" * 100, 1.0), ("[bold]y", 22.0)])).splitlines()
    assert len(lines) == 3 and all(line == line.rstrip() for line in lines)
    assert "[bold]y" in lines[2]


def test_stack_leaves_none_out():
    assert shown(stack("a", None, "b")) == "a\nb\n"


def test_variables_of_each_kind():
    text = shown(
        variables(
            [
                {"variable": "x", "mean": 1.5, "sd": 0.5, "q05": 0.7, "q50": 1.5, "q95": 2.3, "mcse": 0.01},
                {"variable": "g", "probabilities": [["a", 0.75, 0.01], ["b", 0.25, 0.01]]},
                {"variable": "image", "shape": [8, 8], "mean_min": 0.0, "mean_max": 1.0, "sd_min": 0.1, "sd_max": 0.2},
            ]
        )
    )
    assert "x          1.5  0.5  0.7  1.5  2.3  0.01" in text
    assert "a 0.750  b 0.250" in text and "8 x 8" in text and "0 to 1" in text


def test_trust_says_what_may_not_be_trusted():
    said = {
        "queries": 1,
        "reliable": 0,
        "computation": "fail",
        "support": "ok",
        "calibration": "unknown",
        "strategy": "importance",
        "guarantee": "consistent",
        "law": "joint",
        "ess": 12.0,
        "khat": None,
        "log_evidence": -3.25,
        "log_evidence_se": 0.5,
        "reasons": "k-hat of y is 0.9",
        "seconds": 0.25,
    }
    text = trust(said)
    assert text.startswith("NOT reliable: computation fail")
    assert "ESS 12" in text and "k-hat of y" in text and "log-evidence -3.25 +- 0.5" in text and "R-hat" not in text
