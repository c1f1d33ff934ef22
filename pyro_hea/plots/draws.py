"""Draws and their checks, from InferenceData: latents, compositions, chains, ranks, k-hat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from scipy.stats import rankdata

from pyro_hea.evaluate.measures import ecdf_band, ecdf_difference
from pyro_hea.plots._labels import tick_labels
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    LIGHT_GREY,
    LINES,
    REFERENCE,
    VERMILION,
    legend_above,
    legend_right,
    require_columns,
    styled_axes,
)

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import NDArray

_MASS, _RIGHT = 0.94, 0.99

MOST_LABELS = 20
"""Alloys up to which each ellipse has its formula beside it."""


def latent_ellipses(
    idata: az.InferenceData, x: str = "z0", y: str = "z1", chain: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw two latent coordinates of each alloy: the mean, and the ellipse that holds 94 %.

    Parameters
    ----------
    idata : InferenceData
        As `posterior` gives it. Where a chain is a member, only `chain` is drawn, for each member
        has a latent space of its own; Markov chains are drawn together.
    x, y : str
        Coordinates of the dimension `latent`.
    chain : int
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; the ellipse is that of a normal with the draws' covariance. Up to
        `MOST_LABELS` alloys are named.
    """
    z = idata["posterior"]["z"].sel(latent=[x, y])
    members = _chains_are_members(idata)
    z = z.isel(chain=[chain]) if members else z
    points = z.transpose("alloy", "chain", "draw", "latent").to_numpy()
    points = points.reshape(len(points), -1, 2)
    where = f"member {chain}" if members else f"{z.sizes['chain']} Markov chains"
    radius = 2 * np.sqrt(-2 * np.log(1 - _MASS))  # of a normal in two dimensions, across
    with styled_axes(ax, (5.2, 4.8)) as ax:
        for draws in points:
            variance, axes = np.linalg.eigh(np.cov(draws.T))
            width, height = radius * np.sqrt(np.maximum(variance, 0))
            angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
            ellipse = Ellipse(
                tuple(draws.mean(0)), width, height, angle=angle, facecolor=BLUE, alpha=0.15
            )
            edge = Ellipse(
                tuple(draws.mean(0)), width, height, angle=angle, fill=False, edgecolor=BLUE
            )
            ax.add_patch(ellipse)
            ax.add_patch(edge)
        centres = points.mean(1)
        ax.plot(*centres.T, "o", color=BLACK, markersize=3, label="mean of an alloy")
        if len(centres) <= MOST_LABELS:
            for name, centre in zip(tick_labels(z["alloy"].to_numpy()), centres, strict=True):
                ax.annotate(name, centre, (3, 3), textcoords="offset points", fontsize=7)
        ax.set(xlabel=f"{x} (no unit)", ylabel=f"{y} (no unit)")
        legend_above(ax, title=f"{where}; ellipses hold 94 % of the draws")
        ax.set_aspect("equal", adjustable="datalim")
        ax.autoscale_view()
    return ax


def draws_bars(
    idata: az.InferenceData,
    alloy: str,
    group: str = "posterior_predictive",
    ax: Axes | None = None,
) -> Axes:
    """Draw what an alloy's draws are made of, beside what it is made of.

    Parameters
    ----------
    idata : InferenceData
        With `composition` in `group` and in `observed_data`.
    alloy : str
        A coordinate of the dimension `alloy`.
    group : str
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on: mean and central 94 % of the draws (bars), the alloy itself (diamonds),
        for each element of more than 1 at.% in either.
    """
    drawn = 100 * idata[group]["composition"].sel(alloy=alloy).stack(sample=("chain", "draw"))
    real = 100 * idata["observed_data"]["composition"].sel(alloy=alloy)
    shown = [e for e in real["element"].to_numpy() if real.sel(element=e) > 1]
    others = [e for e in real["element"].to_numpy() if drawn.sel(element=e).mean() > 1]
    elements = shown + [e for e in others if e not in shown]
    drawn, real = drawn.sel(element=elements), real.sel(element=elements)
    mean = drawn.mean("sample").to_numpy()
    low, high = np.quantile(drawn.to_numpy(), ((1 - _MASS) / 2, (1 + _MASS) / 2), axis=-1)
    rows = np.arange(len(elements))
    with styled_axes(ax, (1.8 + 0.5 * len(elements), 3.6)) as ax:
        ax.bar(rows, mean, color="#a6d4f2", edgecolor="0.45", label="draws: mean and 94 %")
        error = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
        ax.errorbar(rows, mean, error, fmt="none", ecolor=BLACK, capsize=3, linewidth=1)
        ax.plot(rows, real, "D", color=VERMILION, markersize=5, label=alloy)
        ax.set_xticks(rows, elements)
        ax.set(ylabel="amount (at.%)", xlabel="element")
        ax.grid(visible=False, axis="x")
        legend_above(ax)
    return ax


def chain_ranks(
    idata: az.InferenceData, alloy: str, latent: str = "z0", ax: Axes | None = None
) -> Axes:
    """Draw how the ranks of one coordinate are spread in each chain: near 0 throughout is mixed.

    Parameters
    ----------
    idata : InferenceData
    alloy, latent : str
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on (Vehtari et al., Bayesian Analysis 16 (2021) 667). Where chains are
        members the title says that nothing about convergence can be read from them.
    """
    z = idata["posterior"]["z"].sel(alloy=alloy, latent=latent).to_numpy()
    with styled_axes(ax, (5.4, 3.4)) as ax:
        kind = "member" if _chains_are_members(idata) else "chain"
        draw_rank_differences(ax, z, kind)
        ax.set_xlabel(f"rank of {latent} of {alloy} among all draws (share)")
        if kind == "member":
            ax.set_title("Chains are members of the ensemble: no test of convergence", fontsize=9)
    return ax


def simulation_rank_plot(idata: az.InferenceData, ax: Axes | None = None) -> Axes:
    """Draw the ranks of simulation-based calibration as ECDF difference: flat is right.

    Parameters
    ----------
    idata : InferenceData
        As `evaluate.simulation.rank_data` gives it: `rank` (chain, draw, site) in `posterior`,
        whose attribute `draws` is the highest rank that there is.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on: the distribution function of each site's ranks less that of uniform
        ones, and the band in which 99 % of the points of right inference lie.
    """
    ranks, draws = idata["posterior"]["rank"], int(idata["posterior"].attrs["draws"])
    sites = ranks["site"].to_numpy()
    edges = np.arange(1, draws + 2) / (draws + 1)
    low, high = ecdf_band(ranks.size // len(sites), edges, _RIGHT)
    with styled_axes(ax, (5.4, 3.6)) as ax:
        ax.fill_between(
            edges,
            low,
            high,
            step="post",
            color=LIGHT_GREY,
            alpha=0.5,
            label=f"{_RIGHT:.0%} if right",
        )
        for i, site in enumerate(sites):
            shares = (ranks.sel(site=site).to_numpy().ravel() + 0.5) / (draws + 1)
            ax.plot(
                edges,
                ecdf_difference(shares, edges),
                drawstyle="steps-post",
                color=_grey(i, len(sites)),
                linestyle=LINES[i % len(LINES)],
                linewidth=1.2,
                label=str(site),
            )
        ax.set(
            xlabel=f"rank of the truth among {draws} draws (share)",
            ylabel="share of ranks below, less expected",
        )
        legend_right(ax)
    return ax


def k_hat_plot(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw k-hat of the guide for each alloy, the greatest first, with the limit of trust.

    Parameters
    ----------
    table : DataFrame
        As `guide_table` gives it: `k_hat`, `evidence_k_hat`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> table = pd.DataFrame({"k_hat": [0.4, 1.2], "evidence_k_hat": [0.1, 0.3]})
    >>> [text.get_text() for text in k_hat_plot(table).get_legend().get_texts()][0]
    'guide (1 of 2 below 0.7)'
    """
    require_columns(table, ("k_hat", "evidence_k_hat"))
    ranked = table.sort_values("k_hat", ascending=False)
    rows = np.arange(len(ranked))
    with styled_axes(ax, (5.4, 3.6)) as ax:
        for column, name, marker, face in (
            ("k_hat", "guide", "o", BLUE),
            ("evidence_k_hat", "fitted to each alloy", "D", "none"),
        ):
            count = f"{(ranked[column] < 0.7).sum()} of {len(ranked)} below 0.7"
            ax.plot(
                rows,
                ranked[column],
                marker,
                color=BLUE if face == BLUE else VERMILION,
                markerfacecolor=face,
                markersize=4,
                label=f"{name} ({count})",
            )
        ax.axhline(0.7, **REFERENCE)
        ax.set_yscale("symlog", linthresh=0.7)
        ax.set_yticks([0, 0.35, 0.7, 1, 2, 5, 10], ["0", "0.35", "0.7", "1", "2", "5", "10"])
        ax.set_ylim(min(0.0, ranked[["k_hat", "evidence_k_hat"]].min().min()) - 0.05, None)
        ax.set(
            xlabel="alloy (rank by the guide's k-hat)",
            ylabel="Pareto k-hat (no unit; logarithmic above 0.7)",
        )
        ax.legend(loc="upper right")
    return ax


def draw_rank_differences(ax: Axes, chains: NDArray[np.float64], kind: str) -> None:
    """Draw the distribution function of each chain's ranks less that of all draws.

    Near 0 throughout where chains have mixed (Vehtari et al., Bayesian Analysis 16 (2021) 667).

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    chains : array, shape (chains, draws)
    kind : str
        What a chain is: "chain" or "member".
    """
    for i, chain in enumerate(rankdata(chains).reshape(chains.shape) / chains.size):
        ordered = np.sort(chain)
        above = np.arange(1, len(ordered) + 1) / len(ordered) - ordered
        line, grey = LINES[i % len(LINES)], _grey(i, len(chains))
        ax.plot(ordered, above, line, color=grey, linewidth=1.3, label=f"{kind} {i}")
    ax.axhline(0, **REFERENCE)
    ax.set_ylabel(f"share of a {kind}'s draws below,\nless that of all")
    legend_right(ax)


def _chains_are_members(idata: az.InferenceData) -> bool:
    """Whether the dimension `chain` is the member, and not a Markov chain."""
    return bool(idata["posterior"].attrs.get("chain_is") == "member")


def _grey(i: int, count: int) -> str:
    """Grey of the i-th of so many lines, one for each round of line styles."""
    return str(0.1 + 0.6 * (i // len(LINES)) / max(1, (count - 1) // len(LINES)))
