"""What maps of alloys and of crystals share: principal components, a cursor, colour bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import DataError, missing_extra

if TYPE_CHECKING:
    import pandas as pd
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


class BaseExplorer:
    """What explorers of latent spaces share: what is under the cursor, kept and listened to.

    Attributes
    ----------
    selection
        What is under the cursor.
    panel : widget or None
        All that is shown; None without widgets.
    """

    selection: Any
    panel: Any = None

    def __init__(self, colours: Mapping[str, pd.Series]) -> None:
        self._colours = colours
        self._picked: list[Any] = []
        self._listeners: list[Callable[[Any], None]] = []

    def on_move(self, listener: Callable[[Any], None]) -> None:
        """Call `listener` with the selection whenever a cursor has moved."""
        self._listeners.append(listener)

    def keep(self) -> None:
        """Add the selection to `picked`."""
        self._picked.append(self.selection)

    @property
    def colours(self) -> tuple[str, ...]:
        """What the dots can be coloured by."""
        return tuple(self._colours)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener(self.selection)

    def _check_colour(self, name: str) -> None:
        if name not in self._colours:
            raise DataError(f"no colour '{name}'; use one of {', '.join(self._colours)}")

    def _bundle(self, shown: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """What a notebook displays: the panel, or a figure without widgets."""
        shown = shown if self.panel is None else self.panel
        return {**shown._repr_mimebundle_(**options), "text/plain": repr(self)}


def live() -> bool:
    """Whether there are widgets."""
    return all(find_spec(name) for name in ("ipywidgets", "anywidget"))


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
