"""Pictures of a joint: what its draws are near to, its chains' states, where its denoiser points, rows made again.

Each is a function of the joint that gives numbers, an `xr.Dataset`, and one that draws them.
"""

from genprob.pictures.field import field, plot_fields
from genprob.pictures.film import film, plot_film
from genprob.pictures.neighbours import neighbours, plot_neighbours
from genprob.pictures.reconstruction import plot_reconstruction, reconstruction

KINDS = ("neighbours", "film", "field", "reconstruction")
"""What `draw` makes."""

__all__ = [
    "KINDS", "field", "film", "neighbours", "plot_fields", "plot_film", "plot_neighbours", "plot_reconstruction",
    "reconstruction",
]  # fmt: skip
