"""Public methods that answer any conditional of a mixed table, one per file, all with the same two functions.

`fit(reals, codes, levels, seed)` takes the standardised training reals `[n, d]`, label codes `[n, c]` and numbers of
labels `[c]`, and returns `answer(reals, codes, observed, draws, seed)`: draws of every row, `[n, draws, d]` reals and
`[n, draws, c]` codes, with the given cells repeated. `observed` is `[n, d + c]`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]
Drawn = tuple[Floats, Codes]
Answer = Callable[[Floats, Codes, NDArray[np.bool_], int, int], Drawn]


def one_hot(codes: Codes, levels: Codes) -> Floats:
    """Indicator columns `[n, sum of levels]` of label codes `[n, c]`; a row of zeros for code -1."""
    return np.concatenate(
        [(codes[:, [j]] == np.arange(count)).astype(np.float64) for j, count in enumerate(levels)], axis=1
    )


def keep_given(drawn: Drawn, reals: Floats, codes: Codes, observed: NDArray[np.bool_]) -> Drawn:
    """The draws with every given cell put back."""
    width = reals.shape[1]
    given = observed[:, None]
    return (
        np.where(given[..., :width], reals[:, None], drawn[0]),
        np.where(given[..., width:], codes[:, None], drawn[1]),
    )
