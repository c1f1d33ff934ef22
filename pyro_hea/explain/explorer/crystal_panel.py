"""The widgets around the maps of crystals; only they know ipywidgets."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_hea.explain.explorer.target_display import prediction_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_hea.explain.explorer.crystal_explorer import CrystalExplorer
    from pyro_hea.explain.explorer.crystal_maps import CrystalSelection
    from pyro_hea.spec import Target

_LEGEND = (
    "<small>Press on the left for a composition, press or drag on the right for a structure. Faint "
    "structures are of other stoichiometries, which that composition cannot have.</small>"
)


def build_crystal_panel(explorer: CrystalExplorer) -> Any:
    """Both maps with the cell and what is told of it beside them, as one `ipywidgets.VBox`."""
    w: Any = import_module("ipywidgets")
    pointing: Any = import_module("pyro_hea.explain.explorer.pointer")
    words, kept = w.HTML(layout={"flex": "1 1 260px", "min_width": "240px"}), w.HTML()
    shown = []
    for half, figure in explorer.maps.items():
        pointer = pointing.Pointer()
        pointer.observe(lambda change, h=half: explorer.at(**{h: change["new"]}), "place")
        box = w.VBox([figure, pointer], layout={"flex": "0 0 auto"})
        box.add_class(pointing.MAP_CLASS)
        shown.append(box)

    def write(selection: CrystalSelection) -> None:
        words.value = _selection_html(selection, explorer.declared)

    def keep(_: Any) -> None:
        explorer.keep()
        kept.value = f"{len(explorer.picked)} kept, the last {explorer.selection.crystal.formula}"

    colour = w.Dropdown(options=explorer.colours, description="colour")
    colour.observe(lambda change: explorer.colour(change["new"]), "value")
    button = w.Button(description="keep this crystal", icon="plus")
    button.on_click(keep)
    explorer.on_move(write)
    write(explorer.selection)
    rows = {"flex_flow": "row wrap", "align_items": "flex-start"}
    return w.VBox(
        [
            w.HBox([colour, button, kept, w.HTML(_LEGEND)], layout=rows),
            w.HBox([*shown, explorer.cell, words], layout=rows),
        ]
    )


def _selection_html(selection: CrystalSelection, targets: Sequence[Target]) -> str:
    """What is decoded, as HTML; ids and names of targets may come from a stranger."""
    told = selection.table.iloc[0]
    predicted = "<br>".join(prediction_html(target, told) for target in targets)
    near = "" if told["distance_over_radii"] >= 0.75 else " <b>Atoms are too near.</b>"
    return (
        f"<h3 class='pyro-hea-crystal'>{escape(str(told['formula']))}</h3>"
        f"<p>{escape(str(told['prototype']))}, {told['atoms']} atoms, "
        f"{told['volume_per_atom']:.1f} Å³ an atom, shortest distance "
        f"{told['shortest_distance']:.2f} Å.{near}</p>"
        f"<p>Composition of {escape(selection.composition)}, structure of "
        f"{escape(selection.structure)}.</p><p>{predicted}</p>"
    )
