"""The explorer of the latent space in a notebook: ipywidgets around a plotly map.

A click on the map, or a drag over it, decodes the alloy under the cursor; with "follow the mouse"
the mouse alone does. Without widgets the map is a plain plotly figure, moved by `Explorer.at`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_hea.errors import missing_extra
from pyro_hea.explain.explorer.map_figure import MapFigure
from pyro_hea.explain.explorer.map_parts import live
from pyro_hea.explain.explorer.panel import build_panel

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble


class Explorer(MapFigure):
    """A map of alloys with the alloy under the cursor beside it; displays itself.

    Parameters
    ----------
    ensemble : Ensemble
    data : AlloyDataset
        Of the training elements.
    member : int
        Whose latent space is shown.

    Attributes
    ----------
    figure : plotly Figure
        The map; a `FigureWidget` where there are widgets.
    panel : ipywidgets.VBox, ipywidgets.Tab or None
        Map, controls and the alloy under the cursor, in the first tab where there are several;
        None without widgets.
    """

    def __init__(self, ensemble: Ensemble, data: AlloyDataset, member: int = 0) -> None:
        super().__init__(ensemble, data, member, live=live())
        self.panel = build_panel(self) if live() else None

    def __repr__(self) -> str:
        kind = "static, without widgets" if self.panel is None else "interactive"
        return f"Explorer({len(self._map.data)} alloys, member {self._map.member}; {kind})"

    def add_tab(self, title: str, content: Any) -> None:
        """Show another widget in a tab beside the map, such as `SeparableLatent.panel`.

        Raises
        ------
        MissingExtraError
            Without widgets.
        """
        if self.panel is None:
            raise missing_extra("ipywidgets", "notebooks")
        tab: Any = import_module("ipywidgets").Tab
        if not isinstance(self.panel, tab):
            self.panel = tab([self.panel], titles=["map"])
        titles = [*self.panel.titles, title]
        self.panel.children = [*self.panel.children, content]
        self.panel.titles = titles

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return self._bundle(self.figure, options)
