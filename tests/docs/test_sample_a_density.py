"""The how-to's examples give what it shows."""

import doctest
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "sample-a-density.md"


def test_examples_give_what_the_page_shows():
    with torch.random.fork_rng():
        found = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 15 and found.failed == 0


def test_every_kernel_is_in_the_table():
    from genprob.engine import kernels

    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in kernels.__all__ if f"`{name}`" not in text and name != "sample"]
    assert not missing
