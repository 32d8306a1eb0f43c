"""Pictures of a run's joint: neighbours of draws, the film of a chain, the field of a denoiser, rows made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprob.errors import UsageError

if TYPE_CHECKING:
    from genprob.joint import Joint

TAKES = {
    "neighbours": {"data": None, "seed": 0},
    "film": {"given": (), "steps": 16, "seed": 0},
    "field": {"noise": None, "seed": 0},
    "reconstruction": {"data": None, "seed": 0},
}
"""Which options each picture of a joint takes, and what they are where they are not given."""


def draw_joint(joint: Joint, kind: str, title: str, out: Path, options: dict[str, Any]) -> Path:
    """Draws what the draws are near to, where a chain goes, where a denoiser points, or rows made again."""
    from genprob import pictures
    from genprob.query.grammar import read_given

    seed = options["seed"]
    if kind == "film":
        known = read_given(joint.variables, options["given"], None)
        return pictures.plot_film(pictures.film(joint, known, states=options["steps"], seed=seed), out)
    if kind == "field":
        return pictures.plot_fields({title: pictures.field(joint, noise=options["noise"], seed=seed)}, out)
    if options["data"] is None:
        raise UsageError(
            f"plot kind {kind!r} needs rows: name the data with --data (a run keeps a few of its rows only)"
        )
    if kind == "neighbours":
        return pictures.plot_neighbours(pictures.neighbours(joint, options["data"], seed=seed), out)
    return pictures.plot_reconstruction(pictures.reconstruction(joint, options["data"], seed=seed), out)
