"""Disorder: thermodynamics, short-range order, and what sets an energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import DataError, nearest
from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import (
    BLUE,
    GREEN,
    LIGHT_GREY,
    LINES,
    MARKERS,
    ORANGE,
    PURPLE,
    REFERENCE,
    SKY,
    VERMILION,
    label_rows,
    legend_right,
    require_columns,
    styled_axes,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

_TEMPERATURE = "temperature (K)"


def thermodynamics(
    table: pd.DataFrame, quantity: str = "heat_capacity", ax: Axes | None = None
) -> Axes:
    """Draw a quantity against temperature, with its 94 % interval.

    Temperatures whose estimates are not trusted are open.

    Parameters
    ----------
    table : DataFrame
        As of a `Disorder`.
    quantity : {"ln_Z", "free_energy", "internal_energy", "heat_capacity", "entropy"}
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"temperature_K": [300.0, 600.0], "entropy": [0.5, 0.6]})
    >>> rows = rows.assign(entropy_low=0.4, entropy_high=0.7, trusted=True)
    >>> rows.attrs["units"] = {"entropy": "k/site"}
    >>> thermodynamics(rows, "entropy").get_ylabel()
    'entropy (k/site)'
    """
    allowed = [name.removesuffix("_low") for name in table.columns if name.endswith("_low")]
    if quantity not in allowed:
        raise DataError(
            f"quantity '{quantity}' is not allowed; allowed: {', '.join(allowed)}."
            f"{nearest(quantity, allowed)}"
        )
    require_columns(table, ("temperature_K", "trusted"))
    unit = table.attrs.get("units", {}).get(quantity, "1")
    label = readable(quantity) if unit == "1" else f"{readable(quantity)} ({unit})"
    return _against_temperature(table, quantity, label, ax, table["trusted"].to_numpy(bool))


def formation_energy(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the effective formation energy of a vacancy against temperature.

    Parameters
    ----------
    table : DataFrame
        As of `Vacancies`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"temperature_K": [300.0, 600.0], "E_eff": [1.64, 1.67]})
    >>> rows = rows.assign(E_eff_low=1.6, E_eff_high=1.7, mean=1.7, trusted=True)
    >>> formation_energy(rows).get_ylabel()
    'vacancy formation energy (eV)'
    """
    require_columns(table, ("temperature_K", "E_eff", "E_eff_low", "E_eff_high", "mean"))
    label = "vacancy formation energy (eV)"
    trusted = table["trusted"].to_numpy(bool)
    ax = _against_temperature(table, "E_eff", label, ax, trusted, "effective, 94 % interval")
    with styled_axes(ax, (0, 0)) as ax:
        ax.plot(
            table["temperature_K"],
            table["mean"],
            LINES[1],
            color=VERMILION,
            label="mean of the vacancies",
        )
        legend_right(ax)
    return ax


def short_range_order(order: pd.DataFrame, shell: int = 1, ax: Axes | None = None) -> Axes:
    """Draw the Warren–Cowley parameters of a shell against temperature, a line for each pair.

    Parameters
    ----------
    order : DataFrame
        As of a `Disorder`.
    shell : int
        Counted from 1, the nearest neighbours.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"shell": 1, "distance": 2.5, "sites": "0-0", "pair": "Cr-Ni", "alpha": -0.1}
    >>> rows = pd.DataFrame([{"temperature_K": t, **row} for t in (300.0, 600.0)])
    >>> rows = rows.assign(alpha_low=-0.2, alpha_high=0.0)
    >>> short_range_order(rows).get_title()
    'shell 1, 2.50 Å'
    """
    require_columns(order, ("temperature_K", "shell", "pair", "alpha", "alpha_low", "alpha_high"))
    of = order[order["shell"] == shell]
    if of.empty:
        shells = ", ".join(map(str, order["shell"].unique()))
        raise DataError(f"there is no shell {shell}; there are the shells {shells}")
    with styled_axes(ax, (5.6, 3.4)) as ax:
        for i, (pair, rows) in enumerate(of.groupby("pair", sort=False)):
            colour, line = _COLOURS[i % len(_COLOURS)], LINES[i % len(LINES)]
            t = rows["temperature_K"].to_numpy(float)
            low, high = (rows[f"alpha_{end}"].to_numpy(float) for end in ("low", "high"))
            ax.fill_between(t, low, high, color=colour, alpha=0.15)
            ax.plot(
                t,
                rows["alpha"],
                line,
                color=colour,
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                label=str(pair).replace("-", "–"),
            )
        ax.axhline(0, **REFERENCE)
        ax.set_title(f"shell {shell}, {of['distance'].iloc[0]:.2f} Å")
        ax.set(xlabel=_TEMPERATURE, ylabel="Warren–Cowley parameter")
        legend_right(ax)
    return ax


def energy_factors(factors: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of the variance of the energy that each count adds.

    Parameters
    ----------
    factors : DataFrame
        As of a `Disorder`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"factor": ["count of Cr"], "where": ["sites"], "share": [0.9], "alone": [0.95]}
    >>> energy_factors(pd.DataFrame(rows).assign(effect=-0.1)).get_xlabel()
    'share of the variance of the energy'
    """
    require_columns(factors, ("factor", "where", "share", "alone", "effect"))
    with styled_axes(ax, (5.6, 0.9 + 0.32 * max(len(factors), 1))) as ax:
        rows = np.arange(len(factors))
        ax.barh(rows, factors["alone"], color="none", edgecolor="0.35", label="by itself")
        ax.barh(rows, factors["share"], height=0.5, color=BLUE, label="added to those above")
        for row, effect in zip(rows, factors["effect"], strict=True):
            ax.annotate(f"{1000 * effect:+.0f} meV", (1.02, row), va="center", fontsize=8)
        label_rows(ax, (factors["factor"] + ", " + factors["where"]).tolist())
        ax.set(xlabel="share of the variance of the energy", xlim=(0, 1.2))
        ax.set_xticks(np.linspace(0, 1, 6))
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def two_estimates(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw by how much two estimates of ln Z differ, with two standard errors of the second.

    Parameters
    ----------
    table : DataFrame
        As of a `Disorder`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"temperature_K": [300.0], "ln_Z": [5.0], "ln_Z_second": [5.1]})
    >>> rows = rows.assign(ln_Z_low=4.9, ln_Z_high=5.1, ln_Z_second_sd=0.1)
    >>> two_estimates(rows).get_ylabel()
    'ln Z, less the first estimate'
    """
    wanted = ("temperature_K", "ln_Z", "ln_Z_low", "ln_Z_high", "ln_Z_second", "ln_Z_second_sd")
    require_columns(table, wanted)
    first = table["ln_Z"].to_numpy(float)
    t = table["temperature_K"].to_numpy(float)
    with styled_axes(ax, (5.6, 3.2)) as ax:
        low, high = (table[f"ln_Z_{end}"].to_numpy(float) - first for end in ("low", "high"))
        ax.fill_between(t, low, high, color=LIGHT_GREY, alpha=0.5, label="first, 94 % interval")
        ax.axhline(0, **REFERENCE)
        ax.errorbar(
            t,
            table["ln_Z_second"].to_numpy(float) - first,
            2 * table["ln_Z_second_sd"].to_numpy(float),
            fmt="o",
            color=BLUE,
            capsize=3,
            label="second, two standard errors",
        )
        ax.set(xlabel=_TEMPERATURE, ylabel="ln Z, less the first estimate")
        legend_right(ax)
    return ax


def _against_temperature(
    table: pd.DataFrame,
    column: str,
    label: str,
    ax: Axes | None,
    trusted: NDArray[np.bool_],
    name: str = "94 % interval",
) -> Axes:
    t, y = table["temperature_K"].to_numpy(float), table[column].to_numpy(float)
    low, high = (table[f"{column}_{end}"].to_numpy(float) for end in ("low", "high"))
    with styled_axes(ax, (5.6, 3.2)) as ax:
        ax.fill_between(t, low, high, color=BLUE, alpha=0.18, label=name)
        ax.plot(t, y, color=BLUE)
        ax.plot(t[trusted], y[trusted], "o", color=BLUE, markersize=4)
        if not trusted.all():
            ax.plot(
                t[~trusted],
                y[~trusted],
                "o",
                color=BLUE,
                markerfacecolor="white",
                markersize=5,
                label="not trusted",
            )
        ax.set(xlabel=_TEMPERATURE, ylabel=label)
        legend_right(ax)
    return ax
