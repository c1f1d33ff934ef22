"""Tables as heat maps with their numbers: moves between elements, pairs, axes, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.errors import DataError
from pyro_hea.plots._labels import feature_label, label_width, target_label, tick_labels
from pyro_hea.plots._style import require_columns, styled_axes

_CELL = {True: (0.36, 0.3), False: (0.22, 0.2)}
"""Width and height of a cell with and without a number in it, inches."""


def element_map(
    moves: pd.DataFrame,
    alloy: str,
    target: str,
    ax: Axes | None = None,
    *,
    unit: str = "probability",
) -> Axes:
    """Draw what moving atoms from one element of an alloy to another does to a target.

    Parameters
    ----------
    moves : DataFrame
        As `element_moves` gives it, by (`formula`, `from`, `to`).
    alloy : str
        One of its formulas.
    target : str
        For the label.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of the target.

    Returns
    -------
    matplotlib.axes.Axes
        Numbers per at.%, those of a probability in percentage points; bold where 94 % of the
        members agree on the sign.

    Examples
    --------
    >>> index = pd.MultiIndex.from_tuples([("CoNi", "Co", "Ni")], names=["formula", "from", "to"])
    >>> moves = pd.DataFrame({"mean": [0.01], "low": [0.005], "high": [0.02]}, index)
    >>> element_map(moves, "CoNi", "single_phase").get_xlabel()
    'to (an absent element by a step of 1 at.%)'
    """
    require_columns(moves, ("mean", "low", "high"))
    if alloy not in moves.index.get_level_values("formula"):
        raise DataError(f"the moves hold no alloy '{alloy}'")
    own = moves.loc[alloy]
    scale, points = _in_points(unit)
    change = scale * own["mean"].unstack("to")
    sure = ((own["low"] > 0) | (own["high"] < 0)).unstack("to", fill_value=False)
    columns = change.mean().sort_values(ascending=False).index
    name = tick_labels([alloy])[0]
    ax = _heat(
        change[columns],
        f"{target_label(target, unit)}:\nchange in {points}\nper at.% moved",
        sure[columns],
        ax=ax,
    )
    ax.set(xlabel="to (an absent element by a step of 1 at.%)", ylabel=f"from ({name})")
    return ax


def interaction_map(
    pairs: pd.DataFrame, ax: Axes | None = None, *, unit: str = "probability"
) -> Axes:
    """Draw the mean size of each group's own effect (diagonal) and of each pair's joint one.

    Parameters
    ----------
    pairs : DataFrame, shape (players, players)
        Mean |Shapley-Taylor index| over alloys and members.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of what is explained.

    Examples
    --------
    >>> pairs = pd.DataFrame([[0.2, 0.1], [0.1, 0.3]], ["a", "b"], ["a", "b"])
    >>> [text.get_text() for text in interaction_map(pairs).texts]
    ['20.0', '10.0', '10.0', '30.0']
    """
    scale, points = _in_points(unit)
    return _heat(scale * pairs, f"mean |interaction| ({points})", one_sided=True, ax=ax)


def axis_map(correlations: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the correlation of each latent axis with each factor.

    Parameters
    ----------
    correlations : DataFrame, shape (d, F)
        As `pyro_hea.explain.correlations` gives it.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> ax = axis_map(pd.DataFrame({"noble": [0.5, -1.0]}, index=["z0", "z1"]))
    >>> [text.get_text() for text in ax.texts]
    ['+0.5', '−1.0']
    """
    return _heat(correlations, "correlation (no unit)", span=1.0, ax=ax)


def correlation_map(
    features: pd.DataFrame, groups: Mapping[str, Sequence[str]], ax: Axes | None = None
) -> Axes:
    """Draw how strongly features are correlated among the alloys, group by group.

    Parameters
    ----------
    features : DataFrame, shape (N, F)
    groups : mapping of name to features
        As `correlated_groups` makes them; a frame is drawn around each.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> features = pd.DataFrame({"a": [1.0, 2, 3], "b": [3.0, 2, 1]})
    >>> ax = correlation_map(features, {"a …": ["a", "b"]})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    """
    order = [feature for members in groups.values() for feature in members]
    rho = features[order].corr("spearman").fillna(0.0).abs()
    ax = _heat(rho, "|Spearman's ρ| (no unit)", span=1.0, one_sided=True, numbers=False, ax=ax)
    start = -0.5
    for members in groups.values():
        end = start + len(members)
        frame = [start, end, end, start, start], [start, start, end, end, start]
        ax.plot(*frame, color="0.1", linewidth=1.8, clip_on=False)
        start = end
    return ax


def _in_points(unit: str) -> tuple[float, str]:
    """A probability is shown in percentage points, what has another unit in that."""
    return (100.0, "percentage points") if unit == "probability" else (1.0, unit)


def _heat(
    table: pd.DataFrame,
    label: str,
    bold: pd.DataFrame | None = None,
    *,
    span: float | None = None,
    one_sided: bool = False,
    numbers: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Cells shaded by their value, with the number, whose sign a reader of grey needs."""
    values = table.to_numpy(float)
    span = span or max(float(np.nanmax(np.abs(values))), 1e-9)
    rows, columns = ([feature_label(name) for name in axis] for axis in table.axes)
    cell = _CELL[numbers]
    height = max(2.4, 1.3 + cell[1] * len(rows)) + (
        label_width(columns) if _tilted(columns) else 0.0
    )
    width = max(4.0, 1.8 + cell[0] * len(columns) + label_width(rows))
    with styled_axes(ax, (width, height)) as ax:
        shades, low = ("Greys", 0.0) if one_sided else ("PuOr", -span)
        cells = ax.imshow(
            np.ma.masked_invalid(values), cmap=shades, vmin=low, vmax=span, aspect="auto"
        )
        if numbers:
            _numbers(ax, values, span, one_sided, None if bold is None else bold.to_numpy(bool))
        ax.set_yticks(range(len(rows)), rows)
        ax.set_xticks(range(len(columns)), columns, rotation=90 if _tilted(columns) else 0)
        ax.tick_params(length=0)
        ax.grid(visible=False)
        ax.figure.colorbar(cells, ax=ax, label=label, pad=0.02)
    return ax


def _numbers(
    ax: Axes,
    values: npt.NDArray[np.float64],
    span: float,
    one_sided: bool,
    bold: npt.NDArray[np.bool_] | None,
) -> None:
    digits = 0 if span >= 20 and not one_sided else 1
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        text = f"{value:{'' if one_sided else '+'}.{digits}f}".replace("-", "−")
        strong = bold is not None and bold[row, column]
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=6.5,
            fontweight="bold" if strong else "normal",
            color="white" if abs(value) > 0.65 * span else "0.1",
        )


def _tilted(columns: Sequence[str]) -> bool:
    return max(map(len, columns)) > 4
