"""Critics with convolutions over the images of a soft point."""

from __future__ import annotations

from collections.abc import Sequence

from genprob.nets.conv import ConvEncoder, images
from genprob.nets.heads import Heads


class ConvCritic(ConvEncoder):
    """Packs of soft points to scores, `[n, pack * (planes * heads.width + cause)] -> [n, 1]`.

    The images of a pack are channels of one.

    Arguments:
        heads: whose soft points they are.
        hidden: sizes of the layers after the convolutions.
        channels: of the first convolution; the second has twice as many.
        planes: 2 where points are followed by which of their numbers are known, else 1.
        cause: numbers of a code that follow the point.
        pack: points in a pack, one after the other.
    """

    def __init__(
        self, heads: Heads, hidden: Sequence[int], channels: int, planes: int, cause: int, pack: int = 1
    ) -> None:
        whole = planes * heads.width + cause
        starts = [each * whole + plane * heads.width for each in range(pack) for plane in range(planes)]
        columns = {v: [start + c for start in starts for c in heads.taken(v.name)] for v in images(heads.schema)}
        super().__init__(columns, pack * whole, hidden, 1, channels)
