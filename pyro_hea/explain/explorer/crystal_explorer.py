"""The explorer of crystals in a notebook: a map of each latent, and the cell that both decode to.

A click on the left map chooses a composition, a click or a drag on the right one a structure of
the same stoichiometry. Without widgets `CrystalExplorer.at` answers from Python.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError
from pyro_hea.explain.explorer.crystal_maps import HALVES, CrystalMaps, CrystalSelection
from pyro_hea.explain.explorer.crystal_panel import build_crystal_panel
from pyro_hea.explain.explorer.map_parts import CURSOR, BaseExplorer, colour_bar, live, plotly
from pyro_hea.materials.crystals import cell_to_draw

if TYPE_CHECKING:
    from pyro_hea.materials.crystals import CrystalDataset, WyckoffStructure
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
    from pyro_hea.spec import Target

_HEIGHT, _WIDTH = 400, 420
"""Pixels of a map."""

_FAINT = 0.12
"""Opacity of structures that the chosen composition cannot have."""


class CrystalExplorer(BaseExplorer):
    """Two maps of crystals and the cell that is decoded; displays itself.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    data : CrystalDataset
        Crystals to show, with labels where they are known.
    member : int
        Whose latent spaces are shown.

    Attributes
    ----------
    maps : mapping of str to plotly Figure
        Of "composition" and of "structure"; `FigureWidget`s where there are widgets.
    cell : plotly Figure
        The atoms of the decoded crystal in its standard cell.
    selection : CrystalSelection
        What is decoded.
    panel : ipywidgets.VBox or None
        All of it; None without widgets.
    """

    def __init__(self, ensemble: CrystalEnsemble, data: CrystalDataset, member: int = 0) -> None:
        self._go = plotly()
        self._maps = CrystalMaps(ensemble, data, member)
        super().__init__(self._maps.colours())
        self._composition = self._structure = 0
        figure = self._go.FigureWidget if live() else self._go.Figure
        self.maps = {half: figure(self._map(half)) for half in HALVES}
        self.cell = figure(layout=_CELL)
        self.of(data.ids[0])
        self.panel = build_crystal_panel(self) if live() else None

    def __repr__(self) -> str:
        kind = "static, without widgets" if self.panel is None else "interactive"
        return (
            f"CrystalExplorer({len(self._maps.data)} crystals, member {self._maps.member}; {kind})"
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return self._bundle(self.cell, options)

    # Walking.

    def of(self, crystal: str) -> CrystalSelection:
        """Choose composition and structure of a crystal of the data by its id.

        Raises
        ------
        DataError
        """
        self._composition = self._structure = self._maps.row(crystal)
        return self._move(None)

    def at(
        self,
        composition: tuple[float, float] | None = None,
        structure: tuple[float, float] | None = None,
    ) -> CrystalSelection:
        """Move one cursor or both to places on their maps; what is decoded there.

        Parameters
        ----------
        composition : tuple of float, optional
            The nearest crystal's composition is taken; and its structure, unless one is given.
        structure : tuple of float, optional
            The structure of the nearest crystal of that stoichiometry is taken, moved to the place
            along both components.

        Raises
        ------
        DataError
            Without any place.
        """
        if composition is None and structure is None:
            raise DataError("give a place on the map of compositions or of structures, or on both")
        for given in (composition, structure):
            if given is not None and np.shape(given) != (2,):
                raise DataError(f"a place on a map is two numbers, as (0.5, -1.2), not {given!r}")
        if composition is not None:
            self._composition = self._maps.nearest("composition", np.array(composition))
            self._structure = self._composition
        if structure is None:
            return self._move(None)
        place, alike = np.array(structure, float), self._maps.alike(self._composition)
        self._structure = self._maps.nearest("structure", place, alike)
        return self._move(place)

    def _move(self, moved: Any) -> CrystalSelection:
        self.selection = self._maps.at(self._composition, self._structure, moved)
        places = self._maps.places
        shown = places["structure"][self._structure] if moved is None else moved
        alike = self._maps.alike(self._composition)
        for half, (x, y) in (
            ("composition", places["composition"][self._composition]),
            ("structure", shown),
        ):
            self.maps[half].layout.shapes[0].update(xanchor=x, yanchor=y)
        self.maps["structure"].data[0].marker.opacity = np.where(alike, 1.0, _FAINT)
        with self.cell.batch_update():
            self.cell.data = []
            self.cell.add_traces(self._drawn(self.selection.crystal))
        self._notify()
        return self.selection

    @property
    def picked(self) -> pd.DataFrame:
        """Crystals that were kept: `composition` and `structure` they are of, checks, predictions.

        `text` is what `WyckoffStructure.from_text` reads.
        """
        rows = [
            s.table.assign(composition=s.composition, structure=s.structure, text=s.crystal.text)
            for s in self._picked
        ]
        return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["formula"])

    # What is shown.

    @property
    def declared(self) -> tuple[Target, ...]:
        """The targets as the model declares them."""
        return self._maps.ensemble.spec.targets

    def colour(self, name: str) -> None:
        """Colour both maps by one of `colours`.

        Raises
        ------
        DataError
        """
        self._check_colour(name)
        for half, figure in self.maps.items():
            figure.data[0].marker.update(self._marker(half, name))

    def _map(self, half: str) -> dict[str, Any]:
        place, info = self._maps.places[half], self._maps.data.info
        dots = {
            "type": "scatter",
            "x": place[:, 0],
            "y": place[:, 1],
            "text": list(info["formula"] if half == "composition" else info["prototype"]),
            "mode": "markers",
            "hovertemplate": "%{text}<extra></extra>",
            "marker": self._marker(half, next(iter(self._colours))),
        }
        layout = {
            "template": "plotly_white",
            "title": {"text": f"z_{half}", "x": 0.5},
            "width": _WIDTH,
            "height": _HEIGHT,
            "margin": {"l": 40, "r": 10, "t": 40, "b": 40},
            "showlegend": False,
            "xaxis": {"title": {"text": "component 1"}},
            "yaxis": {"title": {"text": "component 2"}},
            "dragmode": False,  # a drag decodes
            "modebar": {"remove": ["pan", "zoom", "select", "lasso"]},
            "shapes": [CURSOR],
        }
        return {"data": [dots], "layout": layout}

    def _marker(self, half: str, colour: str) -> dict[str, Any]:
        bar = {"colorbar": colour_bar(colour, 1.02)} if half == "structure" else {}
        return {
            "color": self._colours[colour].to_numpy(float),
            "colorscale": "Cividis",
            "size": 6,
            **bar,
        }

    def _drawn(self, crystal: WyckoffStructure) -> list[Any]:
        """Atoms by element, and the edges of the cell."""
        lattice, positions, names = cell_to_draw(crystal)
        at = positions @ lattice
        edges = [
            np.array([start, end, [np.nan] * 3])
            for start, end in product(product((0.0, 1.0), repeat=3), repeat=2)
            if np.sum(np.array(end) - start) == 1 and min(np.array(end) - start) >= 0
        ]
        x, y, z = (np.concatenate(edges) @ lattice).T
        scatter = self._go.Scatter3d
        lines = scatter(
            x=x, y=y, z=z, mode="lines", line={"color": "grey"}, hoverinfo="skip", showlegend=False
        )
        atoms = []
        for element in dict.fromkeys(names):
            x, y, z = at[[name == element for name in names]].T
            atoms.append(scatter(x=x, y=y, z=z, mode="markers", name=element, marker={"size": 8}))
        return [lines, *atoms]


_CELL: dict[str, Any] = {
    "template": "plotly_white",
    "width": _WIDTH,
    "height": _HEIGHT,
    "margin": {"l": 0, "r": 0, "t": 10, "b": 0},
    "uirevision": "cell",  # the view stays as the user has turned it
    "scene": {
        "aspectmode": "data",
        **{f"{axis}axis": {"visible": False} for axis in "xyz"},
        "camera": {"projection": {"type": "orthographic"}},
    },
}
"""Layout of the cell."""
