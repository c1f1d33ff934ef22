"""The widgets around an explorer's map; only they know ipywidgets."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_hea.explain.explorer.target_display import prediction_html
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from pyro_hea.explain.explorer.alloy_map import Selection
    from pyro_hea.explain.explorer.map_figure import MapFigure
    from pyro_hea.spec import Target

_LONGEST_BAR = 180
"""Pixels of a bar of 100 at.%."""

_LEGEND = (
    "<small>Dots are alloys of the data. Grey ones have no label of what they are coloured by; "
    "rings have the value 0. The grey background is what is predicted of the alloys that are "
    "decoded there.</small>"
)

_MOUSE = {
    "decodes where it is pressed": ("press", False),
    "decodes wherever it is": ("follow", False),
    "moves the map": ("off", "pan"),
    "zooms into the map": ("off", "zoom"),
}
"""What the mouse does: the pointer's mode and plotly's."""


def build_panel(explorer: MapFigure) -> Any:
    """Controls, map, and the alloy under the cursor beside it, as one `ipywidgets.VBox`."""
    w: Any = import_module("ipywidgets")
    words, kept = w.HTML(layout={"flex": "1 1 260px", "min_width": "240px"}), w.HTML()
    legend = w.HTML(_LEGEND)
    mouse = w.Dropdown(options=list(_MOUSE), description="the mouse")
    pointing: Any = import_module("pyro_hea.explain.explorer.pointer")
    pointer = pointing.Pointer()
    shown = w.VBox([explorer.figure, pointer], layout={"flex": "0 0 auto"})
    shown.add_class(pointing.MAP_CLASS)

    def write(selection: Selection) -> None:
        words.value = _selection_html(selection, explorer.declared)

    def use(change: Any) -> None:
        pointer.mode, explorer.figure.layout.dragmode = _MOUSE[change["new"]]

    def keep(_: Any) -> None:
        explorer.keep()
        kept.value = f"{len(explorer.picked)} kept, the last {escape(_formula(explorer.selection))}"

    mouse.observe(use, "value")
    pointer.observe(lambda change: explorer.at(*change["new"]), "place")
    button = w.Button(description="keep this alloy", icon="plus")
    button.on_click(keep)
    explorer.on_move(write)
    write(explorer.selection)
    return w.VBox(
        [
            w.HBox(_menus(explorer, w), layout={"flex_flow": "row wrap"}),
            w.HBox([shown, words], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
            w.HBox(
                [*_sliders(explorer, w), mouse, button, kept, legend],
                layout={"flex_flow": "row wrap"},
            ),
        ]
    )


def _menus(explorer: MapFigure, w: Any) -> list[Any]:
    x, y, *_ = explorer.coordinates
    menus = {
        "x": w.Dropdown(options=explorer.coordinates, value=x, description="across"),
        "y": w.Dropdown(options=explorer.coordinates, value=y, description="up"),
        "colour": w.Dropdown(options=explorer.colours, description="colour"),
    }
    for name, menu in menus.items():
        menu.observe(lambda change, n=name: explorer.show(**{n: change["new"]}), "value")
    return list(menus.values())


def _sliders(explorer: MapFigure, w: Any) -> list[Any]:
    sliders = {t.name: _slider(explorer, t, w) for t in explorer.declared}
    for name, slider in sliders.items():
        slider.observe(lambda change, n=name: explorer.show(targets={n: change["new"]}), "value")
    return list(sliders.values())


def _slider(explorer: MapFigure, target: Target, w: Any) -> Any:
    settings: dict[str, Any] = {
        "value": explorer.targets[target.name],
        "description": f"decode with {target.name} =",
        "style": {"description_width": "initial"},
        "layout": {"width": "360px"},
    }
    if isinstance(target, Binary):
        return w.FloatSlider(min=0, max=1, step=0.05, continuous_update=False, **settings)
    if isinstance(target, Continuous):
        low, high = explorer.range_of(target.name)
        step = (high - low) / 100 or 1.0
        return w.FloatSlider(min=low, max=high, step=step, continuous_update=False, **settings)
    classes = [(name, float(position)) for position, name in enumerate(target.classes)]
    return w.SelectionSlider(options=classes, continuous_update=False, **settings)


def _selection_html(selection: Selection, targets: Sequence[Target]) -> str:
    """The alloy nearest on the map, then what is decoded there, as HTML.

    Names of targets, classes, units and formulas may come from a stranger's model or table.
    """
    of_data = [prediction_html(target, selection.alloy_prediction) for target in targets]
    decoded = [prediction_html(target, selection.prediction.iloc[0]) for target in targets]
    known = [
        f"{escape(str(formula))} ({100 * alloy['distance']:.1f} at.% away; {_labels(alloy)})"
        for formula, alloy in selection.known.iterrows()
    ]
    return (
        f"<h3 class='pyro-hea-nearest'>{escape(selection.alloy)}</h3>"
        f"<p>The nearest alloy of the data ({_labels(selection.labels)}).<br>"
        f"Predicted: {'<br>'.join(of_data)}</p>"
        f"<h4>Decoded here: <span class='pyro-hea-alloy'>{escape(_formula(selection))}</span></h4>"
        f"{_bars(selection)}"
        f"<p>{'<br>'.join(decoded)}</p>"
        f"<p>Decoded from {escape(selection.origin)}.</p>"
        f"<p>Nearest to it:<br>{'<br>'.join(known)}</p>"
    )


def _bars(selection: Selection) -> str:
    """Amounts in at.%, the largest on top; plotly would take most of the time of an selection."""
    amounts = 100 * selection.fractions.iloc[0].loc[lambda row: row > 0]
    rows = [
        f"<tr class='pyro-hea-amount'><td>{escape(str(element))}</td><td>"
        f"<div style='width:{_LONGEST_BAR * amount / 100:.0f}px; height:0.8em; "
        f"background:#0072B2; display:inline-block'></div> {amount:.1f}</td></tr>"
        for element, amount in amounts.sort_values(ascending=False).items()
    ]
    return f"<table><caption>amounts (at.%)</caption>{''.join(rows)}</table>"


def _labels(alloy: pd.Series) -> str:
    labels = alloy.drop("distance", errors="ignore").dropna()
    shown = {n: v if isinstance(v, str) else f"{v:g}" for n, v in labels.items()}
    return ", ".join(f"{escape(str(n))} = {escape(v)}" for n, v in shown.items()) or "unlabelled"


def _formula(selection: Selection) -> str:
    return str(selection.fractions.index[0])
