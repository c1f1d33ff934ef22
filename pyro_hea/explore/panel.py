"""The widgets around an explorer's map; only they know ipywidgets."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.explore.cursor import Answer
    from pyro_hea.explore.explorer import Explorer

_WIDTH, _HEIGHT = 380, 260
"""Pixels of the composition bars."""


def build_panel(explorer: Explorer) -> Any:
    """Controls, map, and the alloy under the cursor beside it, as one `ipywidgets.VBox`."""
    w: Any = import_module("ipywidgets")
    bars, words, kept = _bars(), w.HTML(), w.HTML()
    follow = w.Checkbox(description="follow the mouse", indent=False)

    def write(answer: Answer) -> None:
        amounts = 100 * answer.fractions.iloc[0].loc[lambda row: row > 0].sort_values()
        words.value = _words(answer)
        bars.data[0].update(x=amounts.to_numpy(), y=list(amounts.index))

    def go_to(points: Any) -> None:
        if points.point_inds:
            explorer.at(points.xs[0], points.ys[0])

    def keep(_: Any) -> None:
        explorer.keep()
        kept.value = f"{len(explorer.picked)} kept, the last {escape(_formula(explorer.answer))}"

    for trace in explorer.figure.data[:2]:
        trace.on_click(lambda _, points, __: go_to(points))
        trace.on_hover(lambda _, points, __: go_to(points) if follow.value else None)
    button = w.Button(description="keep this alloy", icon="plus")
    button.on_click(keep)
    explorer.on_move(write)
    return w.VBox(
        [
            w.HBox(_choices(explorer, w)),
            w.HBox([explorer.figure, w.VBox([bars, words])]),
            w.HBox([*_sliders(explorer, w), follow, button, kept]),
        ]
    )


def _choices(explorer: Explorer, w: Any) -> list[Any]:
    x, y, *_ = explorer.coordinates
    menus = {
        "x": w.Dropdown(options=explorer.coordinates, value=x, description="across"),
        "y": w.Dropdown(options=explorer.coordinates, value=y, description="up"),
        "colour": w.Dropdown(options=explorer.colours, description="colour"),
    }
    for name, menu in menus.items():
        menu.observe(lambda change, n=name: explorer.show(**{n: change["new"]}), "value")
    return list(menus.values())


def _sliders(explorer: Explorer, w: Any) -> list[Any]:
    sliders = {
        name: w.FloatSlider(
            value,
            min=0,
            max=1,
            step=0.05,
            description=f"decode with {name} =",
            style={"description_width": "initial"},
            layout={"width": "360px"},
        )
        for name, value in explorer.targets.items()
    }
    for name, slider in sliders.items():
        slider.continuous_update = False
        slider.observe(lambda change, n=name: explorer.show(targets={n: change["new"]}), "value")
    return list(sliders.values())


def _bars() -> Any:
    go: Any = import_module("plotly.graph_objects")
    return go.FigureWidget(
        go.Bar(x=[], y=[], orientation="h", marker_color="#0072B2"),
        layout={
            "template": "plotly_white",
            "width": _WIDTH,
            "height": _HEIGHT,
            "margin": {"l": 40, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "amount (at.%)"}, "range": [0, 100]},
        },
    )


def _words(answer: Answer) -> str:
    """The alloy's name, its predictions with intervals and the nearest known alloys, as HTML."""
    row = answer.prediction.iloc[0]
    targets = [name for name in row.index if f"{name}_low" in row.index]
    lines = [
        f"{escape(t)}: <b>{row[t]:.2f}</b> (94 %: {row[f'{t}_low']:.2f}–{row[f'{t}_high']:.2f})"
        for t in targets
    ]
    known = [
        f"{escape(str(formula))} ({100 * alloy['distance']:.1f} at.% away; {_labels(alloy)})"
        for formula, alloy in answer.known.iterrows()
    ]
    return (
        f"<h3 class='pyro-hea-alloy'>{escape(_formula(answer))}</h3><p>{'<br>'.join(lines)}</p>"
        f"<p>Nearest known:<br>{'<br>'.join(known)}</p>"
    )


def _labels(alloy: pd.Series) -> str:
    labels = alloy.drop("distance").dropna()
    return ", ".join(f"{escape(str(n))} = {v:g}" for n, v in labels.items()) or "unlabelled"


def _formula(answer: Answer) -> str:
    return str(answer.fractions.index[0])
