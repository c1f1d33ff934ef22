"""A tab of the explorer: one alloy moved toward a cluster. Only this module knows ipywidgets."""

from __future__ import annotations

import warnings
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_hea.errors import ConstraintError, DataError, DesignWarning, missing_extra
from pyro_hea.explain.explorer.target_display import prediction_html

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.design import DesignResult
    from pyro_hea.explain.separable.separable import SeparableLatent

_LONGEST_BAR = 160
"""Pixels of a bar of 100 at.%."""

_COLOURS = ("#999999", "#0072B2")
"""Of the start and of the edit."""


def edit_panel(separable: SeparableLatent) -> Any:
    """See `SeparableLatent.panel`."""
    try:
        w: Any = import_module("ipywidgets")
    except ImportError as error:
        raise missing_extra("ipywidgets", "notebooks") from error
    formulas = list(map(str, separable.trained.fractions.index))
    alloy = w.Combobox(value=formulas[0], options=formulas, description="alloy")
    toward = w.Dropdown(options=separable.names, value=separable.names[-1], description="toward")
    by = w.FloatSlider(
        value=0,
        min=0,
        max=1.5,
        step=0.05,
        description="by (0: search)",
        style={"description_width": "initial"},
        continuous_update=False,
    )
    trim = w.Checkbox(value=True, description="undo what is not needed")
    button, words = w.Button(description="move", icon="arrow-right"), w.HTML()

    def move(_: Any) -> None:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DesignWarning)
            try:
                way = by.value or None
                result = separable.move(alloy.value, toward.value, way, trim=trim.value)
            except (DataError, ConstraintError) as error:
                words.value = f"<p>{escape(str(error))}</p>"
                return
        notes = [f"<p>{escape(str(warning.message))}</p>" for warning in said]
        words.value = "".join([*notes, _result_html(separable, result)])

    button.on_click(move)
    controls = w.HBox([alloy, toward, by, trim, button], layout={"flex_flow": "row wrap"})
    return w.VBox([controls, words])


def _result_html(separable: SeparableLatent, result: DesignResult) -> str:
    """The edit with its predictions, and the amounts before and after.

    Names of targets, clusters and formulas may come from a stranger's model or table.
    """
    row = result.table.iloc[0]
    elements = list(result.fractions.columns)
    ends = 100 * result.trail[elements].iloc[[0, -1]]
    targets = [prediction_html(target, row) for target in separable.ensemble.spec.targets]
    return (
        f"<h3 class='pyro-hea-edit'>{escape(str(row.name))}</h3>"
        f"<p>In {escape(str(row['cluster']))}; {row['moved']:.1f} at.% moved.<br>"
        f"{'<br>'.join(targets)}</p>"
        f"<table><caption>amounts before and after (at.%)</caption>{_rows(ends)}</table>"
    )


def _rows(ends: pd.DataFrame) -> str:
    shown = ends.loc[:, (ends > 0).any()].T
    return "".join(
        f"<tr><td>{escape(str(element))}</td>{''.join(map(_bar, amounts, _COLOURS))}</tr>"
        for element, amounts in zip(shown.index, shown.to_numpy(), strict=True)
    )


def _bar(amount: float, colour: str) -> str:
    width = _LONGEST_BAR * amount / 100
    return (
        f"<td><div style='width:{width:.0f}px; height:0.8em; background:{colour}; "
        f"display:inline-block'></div> {amount:.1f}</td>"
    )
