"""Devices: which one a fit runs on."""

from __future__ import annotations

import torch

from genprob.errors import UsageError


def choose(name: str) -> torch.device:
    """`"auto"` takes CUDA where there is one; any other text is a torch device, checked to exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used here: {reason}; try device='cpu'") from None
    return device
