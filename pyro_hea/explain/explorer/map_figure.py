"""A plotly map of alloys with a cursor; knows no ipywidgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.explain.explorer.alloy_map import AlloyMap, Selection
from pyro_hea.explain.explorer.map_parts import COMPONENTS, CURSOR, BaseExplorer, colour_bar, plotly
from pyro_hea.explain.explorer.target_display import background_column, default_value
from pyro_hea.materials.alloys.features import FEATURES

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.spec import Target

_CELLS = 41
"""Cells of the background along each axis."""

_MARGIN = 0.08
"""Share of the alloys' range that the background reaches beyond them."""

_HEIGHT, _WIDTH = 460, 620
"""Pixels of the map, which fits a notebook in a window of 1000."""


class MapFigure(BaseExplorer):
    """A map of alloys, and the alloy under its cursor.

    Parameters
    ----------
    ensemble : Ensemble
    data : AlloyDataset
        Of the training elements.
    member : int
        Whose latent space is shown.
    live : bool
        Whether the figure is a `FigureWidget`.

    Attributes
    ----------
    figure : plotly Figure
    """

    def __init__(
        self, ensemble: Ensemble, data: AlloyDataset, member: int = 0, *, live: bool = False
    ) -> None:
        self._go = plotly()
        self._map = AlloyMap(ensemble, data, member)
        self._x, self._y = COMPONENTS
        super().__init__(self._map.colours())
        self._colour = next(iter(self._colours))
        self._targets = {
            t.name: default_value(t, self._map.values(t.name)) for t in ensemble.spec.targets
        }
        self.figure = self._draw(live)
        self.at(*self._first())

    def at(self, x: float, y: float) -> Selection:
        """Move the cursor to a place of the map, in its coordinates; the alloy there."""
        self._point = np.array([x, y], float)
        self.selection = self._map.at(self._x, self._y, self._point, self._targets)
        self._notify()
        self.figure.layout.shapes[0].update(xanchor=x, yanchor=y)
        return self.selection

    @property
    def targets(self) -> dict[str, float]:
        """Values with which alloys are decoded; classes by position."""
        return dict(self._targets)

    @property
    def declared(self) -> tuple[Target, ...]:
        """The targets as the model declares them."""
        return self._map.ensemble.spec.targets

    def range_of(self, target: str) -> tuple[float, float]:
        """Least and greatest value of a number among the alloys shown, in its unit."""
        values = self._map.values(target)
        return float(values.min()), float(values.max())

    @property
    def picked(self) -> pd.DataFrame:
        """Alloys that were kept, one a row: `formula`, fractions, predictions, nearest known alloy.

        The nearest known one has the columns `known` and `novelty`, as in a table of designs.
        """
        rows = [
            pd.concat([a.fractions, a.prediction], axis=1).assign(
                known=a.known.index[0], novelty=a.known["distance"].iloc[0]
            )
            for a in self._picked
        ]
        if not rows:
            return pd.DataFrame(index=pd.Index([], name="formula"))
        return pd.concat(rows).rename_axis(index="formula")

    @property
    def coordinates(self) -> tuple[str, ...]:
        """What the map can show along an axis: latent components and features."""
        return tuple(map(str, self._map.coordinates))

    def show(
        self,
        *,
        x: str | None = None,
        y: str | None = None,
        colour: str | None = None,
        targets: Mapping[str, str | float] | None = None,
    ) -> None:
        """Choose what the map shows; what is left out stays.

        Parameters
        ----------
        x, y : str, optional
            Two of `coordinates`.
        colour : str, optional
            One of `colours`.
        targets : mapping, optional
            Values with which alloys are decoded, by target; classes by name or by position.

        Raises
        ------
        UnknownTargetError
        DataError
            For a coordinate, a colour or a class that there is not.
        """
        coded = {n: self._map.ensemble.encode_value(n, v) for n, v in (targets or {}).items()}
        if colour is not None:
            self._check_colour(colour)
        old = self._x, self._y
        self._x, self._y = (
            self._map.check_coordinate(x or self._x),
            self._map.check_coordinate(y or self._y),
        )
        self._colour = colour or self._colour
        self._targets |= coded
        with self.figure.batch_update():
            self._background.update(self._plane())
            self._alloys.update(self._points())
            self.figure.update_layout(self._titles())
        self.at(*(self._point if (self._x, self._y) == old else self._first()))

    def _first(self) -> Any:
        """Where the first alloy lies."""
        return self._map.coordinates[[self._x, self._y]].iloc[0]

    # The figure.

    def _draw(self, live: bool) -> Any:
        go = self._go
        figure = (go.FigureWidget if live else go.Figure)()
        figure.add_trace(go.Heatmap(self._plane()))
        figure.add_trace(go.Scatter(self._points()))
        self._background, self._alloys = figure.data
        figure.update_layout(
            template="plotly_white",
            width=_WIDTH,
            height=_HEIGHT,
            margin={"l": 60, "r": 10, "t": 30, "b": 50},
            showlegend=False,
            **self._titles(),
            dragmode=False,  # a drag decodes
            modebar={"remove": ["pan", "zoom", "select", "lasso"]},
            shapes=[CURSOR],
        )
        return figure

    def _titles(self) -> dict[str, str]:
        return {
            f"{axis}axis_title_text": f"{name.replace('_', ' ')} ({_unit(name)})"
            for axis, name in (("x", self._x), ("y", self._y))
        }

    def _plane(self) -> dict[str, Any]:
        """The background: what is predicted of the first target where it is decoded."""
        shown = self._map.coordinates[[self._x, self._y]]
        margin = _MARGIN * (shown.max() - shown.min())
        low, high = shown.min() - margin, shown.max() + margin
        x, y = (np.linspace(low[n], high[n], _CELLS) for n in (self._x, self._y))
        places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        target = self.declared[0]
        column, title, bounded = background_column(target, self._targets[target.name])
        _, predictions = self._map.alloys(self._x, self._y, places, self._targets)
        return {
            "x": x,
            "y": y,
            "z": predictions[column].to_numpy().reshape(_CELLS, _CELLS).round(3),
            "zmin": 0 if bounded else None,
            "zmax": 1 if bounded else None,
            "colorscale": "Greys",
            "reversescale": False,
            "opacity": 0.45,
            "colorbar": colour_bar(f"{title}, decoded here", 1.22),
            "hovertemplate": "%{z:.3g}<extra>decoded here</extra>",
        }

    def _points(self) -> dict[str, Any]:
        shown, colour = self._map.coordinates, self._colours[self._colour]
        return {
            "x": shown[self._x].to_numpy(),
            "y": shown[self._y].to_numpy(),
            "text": list(shown.index),
            "mode": "markers",
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "color": colour.to_numpy(float),
                "colorscale": "Cividis",
                "size": 7,
                "symbol": colour.map({0.0: "circle-open"}).fillna("circle").tolist(),
                "line": {"width": 1},
                "colorbar": colour_bar(self._colour, 1.02),
            },
        }


def _unit(coordinate: str) -> str:
    unit = FEATURES[coordinate].unit if coordinate in FEATURES else "1"
    return "no unit" if unit == "1" else unit
