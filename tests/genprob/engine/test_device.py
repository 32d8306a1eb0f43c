"""Devices by name."""

import pytest
import torch

from genprob.engine.device import choose
from genprob.errors import UsageError


def test_auto_takes_cuda_where_there_is_one():
    assert choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nonsense", "", "meta", "cuda:99", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_cannot_be_used_is_refused(name):
    with pytest.raises(UsageError, match=r"device .*try device='cpu'"):
        choose(name)
