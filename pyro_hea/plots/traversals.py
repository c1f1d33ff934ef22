"""What alloys turn into along a way through the latent space."""

from __future__ import annotations

import pandas as pd

from pyro_hea.plots._elements import element_style
from pyro_hea.plots._labels import target_label
from pyro_hea.plots._style import (
    BLUE,
    REFERENCE,
    Panels,
    house_style,
    legend_above,
    new_panels,
    require_columns,
)

_SHOWN = 0.08
"""Fraction that an element reaches somewhere to have a band of its own."""


def traversal_plot(
    fractions: pd.DataFrame,
    predictions: pd.DataFrame,
    target: str,
    along: str,
    *,
    unit: str = "probability",
) -> Panels:
    """Draw the decoded composition along a way, and the predicted target below it.

    Parameters
    ----------
    fractions, predictions : DataFrame
        By position, as a `Traversal` holds them.
    target : str
        A column of the predictions: a binary target, a class such as `phase[fcc]`, or a number.
        Its interval is drawn where there is one.
    along : str
        What the positions are, for the label.
    unit : str
        Of the target.

    Returns
    -------
    Panels
        Composition and target, of a figure of their own.

    Examples
    --------
    >>> fractions = pd.DataFrame({"Co": [0.2, 0.8], "Ni": [0.8, 0.2]}, index=[0.0, 1.0])
    >>> table = pd.DataFrame({"fcc": 0.5, "fcc_low": 0.4, "fcc_high": 0.9}, index=[0.0, 1.0])
    >>> traversal_plot(fractions, table, "fcc", "z0")[1].get_xlabel()
    'z0 (no unit)'
    """
    require_columns(predictions, (target,))
    own = fractions.loc[:, fractions.max() >= _SHOWN]
    others = fractions.drop(columns=own.columns).sum(axis=1)
    bands = 100 * (own.assign(others=others) if others.any() else own)
    position = fractions.index.to_numpy(float)
    with house_style():
        panels = new_panels((6.4, 5.2), 2, sharex=True, height_ratios=(2, 1))
        above, below = panels
        drawn = above.stackplot(
            position,
            bands.to_numpy().T,
            labels=[str(name) for name in bands],
            edgecolor="0.4",
            linewidth=0.5,
        )
        for name, band in zip(bands, drawn, strict=True):
            look = element_style(str(name))
            if name == "others":
                band.set(facecolor="white")
            else:
                band.set(facecolor=look.tint, hatch=look.hatch)
        above.set(ylabel="decoded amount (at.%)", ylim=(0, 100))
        above.grid(visible=False)
        legend_above(above, 8, handlelength=1.4)
        if f"{target}_low" in predictions:
            below.fill_between(
                position,
                predictions[f"{target}_low"].to_numpy(),
                predictions[f"{target}_high"].to_numpy(),
                color=BLUE,
                alpha=0.25,
                linewidth=0,
                label="94 % interval",
            )
        below.plot(position, predictions[target].to_numpy(), color=BLUE, label="mean")
        below.set(
            xlabel=f"{along} (no unit)",
            ylabel=target_label(target, unit).replace(" of ", " of\n"),
            xlim=(position.min(), position.max()),
        )
        if unit == "probability":
            below.axhline(0.5, zorder=0, **REFERENCE)
            below.set(ylim=(-0.02, 1.02))
        below.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0.2)
    return panels
