"""How well a binary target is told apart, and how far its probabilities can be trusted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from sklearn.metrics import auc, roc_curve

from pyro_hea.evaluate.measures import expected_calibration_error, reliability_table
from pyro_hea.plots._style import BLUE, REFERENCE, VERMILION, styled_axes

COMPLEX = 4
"""Elements from which on an alloy is drawn in the second curve of `roc`."""


def roc(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    number_of_elements: npt.ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the receiver operating characteristic: of all alloys, and of those of ≥ 4 elements.

    Parameters
    ----------
    y : array-like, shape (N,)
        Labels 0 and 1; unlabelled alloys (NaN) are left out.
    p : array-like, shape (N,)
        Predicted probability of 1.
    number_of_elements : array-like, shape (N,), optional
        Elements in each alloy. Without it there is one curve.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on. The legend tells each area under the curve (AUC) and number of alloys;
        a group in which all labels are equal has no curve, and the legend says so.

    Examples
    --------
    >>> ax = roc([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], number_of_elements=[2, 5, 5, 4])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['all alloys (AUC 0.750, n = 4)', '≥ 4 elements (AUC 0.500, n = 3)', 'chance']
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    groups = [("all alloys", np.isfinite(y), BLUE, "-")]
    if number_of_elements is not None:
        complex_ = np.isfinite(y) & (np.asarray(number_of_elements) >= COMPLEX)
        groups.append((f"≥ {COMPLEX} elements", complex_, VERMILION, "--"))
    with styled_axes(ax, (4.6, 4.6)) as ax:
        for name, rows, colour, line in groups:
            if len(np.unique(y[rows])) < 2:
                ax.plot([], [], line, color=colour, label=f"{name} (labels of one class only)")
                continue
            false, true, _ = roc_curve(y[rows], p[rows])
            label = f"{name} (AUC {auc(false, true):.3f}, n = {rows.sum()})"
            ax.plot(false, true, line, color=colour, label=label)
        ax.axline((0, 0), slope=1, label="chance", **REFERENCE)
        ax.set(
            xlabel="false positive rate (share of labels 0)",
            ylabel="true positive rate (share of labels 1)",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
        )
        ax.legend(loc="lower right")
    return ax


def reliability(y: npt.ArrayLike, p: npt.ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw observed against predicted frequencies, in ten bins of equal width.

    Parameters
    ----------
    y : array-like, shape (N,)
        Labels 0 and 1; unlabelled alloys (NaN) are left out.
    p : array-like, shape (N,)
        Predicted probability of 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on: each bin with its 90 % Jeffreys interval, and above it how many alloys
        are in it. The legend tells the expected calibration error (ECE).

    Examples
    --------
    >>> ax = reliability([0, 1, 1, 1], [0.5, 0.5, 0.9, 0.9])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['perfectly calibrated', 'alloys in the bin (ECE 0.050), 90 % interval']
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    labelled = np.isfinite(y)
    y, p = y[labelled], p[labelled]
    bins = reliability_table(y, p)
    label = f"alloys in the bin (ECE {expected_calibration_error(y, p):.3f}), 90 % interval"
    full = bins[bins["n"] > 0]
    with styled_axes(ax, (4.6, 4.8)) as ax:
        ax.axline((0, 0), slope=1, label="perfectly calibrated", **REFERENCE)
        ax.errorbar(
            full["predicted"],
            full["observed"],
            yerr=[full["observed"] - full["low"], full["high"] - full["observed"]],
            fmt="o-",
            color=BLUE,
            markersize=5,
            linewidth=1.2,
            capsize=3,
            label=label,
        )
        above = ax.get_xaxis_transform()
        for edges, count in zip(bins[["bin_low", "bin_high"]].to_numpy(), bins["n"], strict=True):
            ax.text(
                edges.mean(),
                1.01,
                f"{count}",
                ha="center",
                va="bottom",
                fontsize=8,
                transform=above,
            )
        ax.text(
            0.5,
            1.06,
            "number of alloys in each bin",
            ha="center",
            va="bottom",
            fontsize=8,
            transform=above,
        )
        ax.set(
            xlabel="predicted probability (mean of the bin)",
            ylabel="observed frequency (share of labels 1)",
            xlim=(0, 1),
            ylim=(-0.02, 1.02),
            xticks=np.arange(11) / 10,
        )
        # Below, for the interval of a bin of few alloys may reach any corner.
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return ax
