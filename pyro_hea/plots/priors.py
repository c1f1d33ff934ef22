"""What a model takes for granted before it sees an alloy: its priors and the alloys it imagines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    VERMILION,
    HouseAxes,
    HouseFigure,
    Panels,
    house_style,
    require_columns,
)

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec

_PALE = "#cfe3f3"
_COLUMNS = 3
_MASS = 0.94
_LEAST = 0.01
"""Fraction from which on an element counts as present; a multinomial draw has stray atoms."""


def prior(
    spec: ModelSpec, alloys: AlloyDataset | Alloys | None = None, *, draws: int = 300, seed: int = 0
) -> Panels:
    """Draw what a spec takes for granted: `prior_panels` of the model that it declares.

    Parameters
    ----------
    spec : ModelSpec
    alloys : alloys, optional
        Whose features are read by priors that read any; the embedded ones by default.
    draws : int
        Of each member, which here has its first weights.
    seed : int
        Of the weights and of the draws.

    Examples
    --------
    >>> from pyro_hea import ModelSpec, plots
    >>> plots.prior(ModelSpec(), draws=20)[0].get_xlabel()
    'single phase (class)'
    """
    # Bring torch with them, which the other figures do without.
    from pyro_hea.materials.alloys.dataset import load_alloys
    from pyro_hea.posterior import prior_predictive, untrained_ensemble
    from pyro_hea.posterior.prior_table import prior_table

    ensemble = untrained_ensemble(spec, load_alloys("zeng2024") if alloys is None else alloys, seed)
    return prior_panels(prior_table(ensemble, seed), prior_predictive(ensemble, draws, seed))


def prior_panels(table: pd.DataFrame, idata: az.InferenceData) -> Panels:
    """Draw each prior over its support, and the alloys that are drawn from all of them.

    Parameters
    ----------
    table : DataFrame
        As `prior_table` gives it.
    idata : InferenceData
        As `prior_predictive` gives it: draws of the same model.

    Returns
    -------
    Panels
        One for each prior: its density (line) or probabilities (bars), and what was drawn of a
        target (pale histogram, diamonds), which features and other targets may have moved. Then
        the number of elements of an imagined alloy, and the amounts of each element.
    """
    require_columns(table, ("site", "what", "support", "kind", "value", "label", "density"))
    priors = [rows for _, rows in table.groupby(["site", "what"], sort=False)]
    rows_of_panels = -(-(len(priors) + 1) // _COLUMNS)
    with house_style():
        figure = HouseFigure(figsize=(10.5, 2.5 * (rows_of_panels + 1)), layout="constrained")
        grid = figure.add_gridspec(rows_of_panels + 1, _COLUMNS)
        places = [grid[i // _COLUMNS, i % _COLUMNS] for i in range(len(priors) + 1)]
        panels = [
            figure.add_subplot(place, axes_class=HouseAxes) for place in (*places, grid[-1, :])
        ]
        for panel, rows in zip(panels, priors, strict=False):
            _draw_prior(panel, rows, _drawn(idata, rows))
        fractions = idata["prior_predictive"]["composition"].stack(alloy=("chain", "draw"))
        amounts = fractions.transpose("alloy", "element").to_numpy()
        _draw_sizes(panels[-2], amounts)
        _draw_elements(panels[-1], amounts, list(fractions["element"].to_numpy()))
    return Panels(panels)


def _drawn(idata: az.InferenceData, rows: pd.DataFrame) -> np.ndarray | None:
    """Draws of a target; None where the panel shows something else."""
    site, kind = rows["site"].iloc[0], rows["kind"].iloc[0]
    if site == "z" or kind == "share" or site not in idata["prior"]:
        return None
    return idata["prior"][site].to_numpy().ravel()


def _draw_prior(panel: Axes, rows: pd.DataFrame, drawn: np.ndarray | None) -> None:
    value, density = rows["value"].to_numpy(), rows["density"].to_numpy()
    kind, site = rows["kind"].iloc[0], str(rows["site"].iloc[0])
    if kind == "density":
        if drawn is not None:
            inside = drawn[(drawn >= value[0]) & (drawn <= value[-1])]
            panel.hist(
                inside, 30, density=True, color=_PALE, edgecolor="0.6", linewidth=0.5, label="drawn"
            )
        panel.plot(value, density, color=BLUE, label="declared")
        panel.set_ylim(bottom=0)
        panel.set_ylabel("density")
    elif kind == "share":
        panel.bar(value, density, value[1] - value[0], color=_PALE, edgecolor="0.4")
        panel.set(xlim=(0, 1), ylabel="share of alloys")
    else:
        panel.bar(value, density, 0.7, color=_PALE, edgecolor="0.4", label="declared")
        if drawn is not None:
            share = [(drawn == v).mean() for v in value]
            panel.plot(value, share, "D", color=VERMILION, markersize=5, label="drawn")
        panel.set_xticks(value, list(rows["label"]))
        panel.set(ylim=(0, 1), ylabel="probability")
        panel.grid(visible=False, axis="x")
    if drawn is not None:
        panel.legend(loc="upper right")
    panel.set_xlabel(readable(str(rows["what"].iloc[0])), fontsize=8.5)
    panel.set_title(f"{readable(site)}: {rows['support'].iloc[0]}", loc="left", fontsize=9)


def _draw_sizes(panel: Axes, amounts: np.ndarray) -> None:
    sizes = (amounts >= _LEAST).sum(1)
    counts = np.bincount(sizes, minlength=amounts.shape[1] + 1)
    panel.bar(np.arange(len(counts)), counts / counts.sum(), 0.9, color=_PALE, edgecolor="0.4")
    panel.set(
        xlim=(0.3, max(sizes.max(), 6) + 0.7),
        xlabel="elements of at least 1 at.% (number)",
        ylabel="share of alloys drawn",
    )
    panel.set_title("alloys drawn: number of elements", loc="left", fontsize=9)


def _draw_elements(panel: Axes, amounts: np.ndarray, elements: list[str]) -> None:
    order = np.argsort(-amounts.mean(0), kind="stable")
    shown = 100 * amounts[:, order]
    low, high = np.quantile(shown, ((1 - _MASS) / 2, (1 + _MASS) / 2), axis=0)
    mean, rows = shown.mean(0), np.arange(len(elements))
    panel.bar(rows, mean, 0.75, color=_PALE, edgecolor="0.4", label="mean")
    panel.vlines(rows, low, high, color=BLACK, linewidth=1.2, label="94 % of the alloys drawn")
    panel.set_xticks(rows, [elements[i] for i in order], fontsize=8)
    panel.set(xlabel="element", ylabel="amount (at.%)", xlim=(-0.6, len(elements) - 0.4))
    panel.grid(visible=False, axis="x")
    panel.legend(loc="upper right", ncols=2)
    panel.set_title("alloys drawn: amounts of the elements", loc="left", fontsize=9)
