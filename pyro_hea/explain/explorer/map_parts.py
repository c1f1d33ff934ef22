"""What maps of alloys and of crystals share: principal components, a cursor, colour bars."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import missing_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COMPONENTS = ("latent 1", "latent 2")
"""First and second principal component of z, as coordinates of a map."""

CURSOR = {
    "type": "circle",
    "xsizemode": "pixel",
    "ysizemode": "pixel",
    "xanchor": 0,
    "yanchor": 0,
    **{"x0": -9, "x1": 9, "y0": -9, "y1": 9},
    "line": {"width": 3, "color": "#D55E00"},
}
"""A ring around the cursor. A shape moves without a new drawing of the dots, unlike a trace."""


def principal_axes(z: Floats) -> Floats:
    """First two principal directions of z (N, d), (2, d), each pointing to its largest weight.

    Examples
    --------
    >>> principal_axes(np.array([[0.0, -2.0], [0.0, 2.0], [1.0, 0.0], [-1.0, 0.0]])) + 0.0
    array([[0., 1.],
           [1., 0.]])
    """
    padded = np.pad(z - z.mean(0), ((0, 2), (0, max(0, 2 - z.shape[1]))))
    axes = np.linalg.svd(padded, full_matrices=False)[2][:2, : z.shape[1]]
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    return axes * np.where(strongest < 0, -1, 1)


def nearest_rows(shown: Floats, points: Floats) -> NDArray[np.intp]:
    """Row of the dot (N, 2) that lies nearest to each point (S, 2), each axis in its own scale."""
    scale = np.where(shown.std(0) > 0, shown.std(0), 1.0)
    return np.square((points[:, None] - shown) / scale).sum(-1).argmin(1)


def colour_bar(title: str, x: float) -> dict[str, Any]:
    """A colour bar at a place beside a map, as a share of its width."""
    return {"title": {"text": title, "side": "right"}, "x": x, "thickness": 12}


def plotly() -> Any:
    """`plotly.graph_objects`; an error that names the extra where there is none."""
    try:
        return import_module("plotly.graph_objects")
    except ImportError as error:
        raise missing_extra("plotly", "notebooks") from error
