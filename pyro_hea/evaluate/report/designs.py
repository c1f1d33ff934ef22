"""A page of designed alloys: what was asked, what came of it, and which to make first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pandas as pd

from pyro_hea.evaluate.report.page import write_report

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyro_hea.design import Constraint, DesignResult, Wish

FIRST = 10
"""Alloys of the batch to make first, where there are more designs than that."""

_ROWS = 100
"""Alloys listed; figures have their own limits."""

_LEFT_OUT = ("_sd", "_epistemic", "_aleatoric")
"""Columns of uncertainty that the CSV has and the page has no room for."""

_TOGETHER = ("all_wishes", "all_wishes_low", "all_wishes_high")
"""Repeat what is predicted, where there is one wish."""

_NOTES = {
    "Designs": "Predictions are of the alloy as it stands here, rounded as one would weigh it in. "
    "Alloys that were chosen for a high prediction have, on average, one that is too high.",
    "To make first": "Of the designs, a set that is probable, diverse and informative.",
    "Compositions": "The first of the table, with the probability that all wishes hold and its "
    "94 % interval.",
    "How new they are": "Bars are 94 % intervals over the members of the ensemble.",
}


def write_designs(
    path: str | os.PathLike[str],
    designs: DesignResult,
    *,
    wishes: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
) -> None:
    """Write designs as one self-contained HTML file.

    Parameters
    ----------
    path : path-like
        The file to write; one that is there is replaced.
    designs : DesignResult
        Of any workflow.
    wishes : mapping of target to wish
    constraints : sequence of Constraint
        What was asked, for the summary.

    Raises
    ------
    OutputError
        If nothing can be written to `path`.
    """
    asked = ", ".join(f"{name} {_spelled(wish)}" for name, wish in wishes.items())
    summary = {
        "wished for": asked,
        "designs": len(designs),
        **{name.replace("_", " "): value for name, value in designs.attributes.items()},
    }
    tables, figures = _tables(designs, together=len(wishes) > 1), _figures(designs)
    notes = {name: note for name, note in _NOTES.items() if name in {*tables, *figures}}
    write_report(
        path,
        title=f"Designed alloys: {asked}",
        summary=summary,
        tables=tables,
        figures=figures,
        notes={**notes, "Constraints": "; ".join(map(repr, constraints)) or "none"},
    )


def _spelled(wish: Wish) -> str:
    """A wish as one reads it.

    Examples
    --------
    >>> _spelled(1), _spelled((">", 500)), _spelled((900, 1200))
    ('= 1', '> 500', '= 900 to 1200')
    """
    match wish:
        case (str() as sign, bound):
            return f"{sign} {bound:g}"
        case (low, high):
            return f"= {low:g} to {high:g}"
        case _:
            return f"= {wish:g}" if isinstance(wish, int | float) else f"= {wish}"


def _tables(designs: DesignResult, together: bool) -> dict[str, pd.DataFrame]:
    left_out = _LEFT_OUT if together else (*_LEFT_OUT, *_TOGETHER)
    predicted = designs.table.drop(columns=list(designs.fractions))
    predicted = predicted[[c for c in predicted if not str(c).endswith(left_out)]]
    fractions = 100 * designs.fractions
    tables = {}
    if len(designs) > FIRST:
        tables["To make first"] = predicted.loc[designs.batch(FIRST).formulas]
    tables["Designs"] = predicted.head(_ROWS)
    present = fractions.loc[:, (fractions > 0).any()].head(_ROWS)
    tables["Compositions (at.%)"] = present.where(present > 0)
    if not designs.trail.empty:
        tables["The way to the first"] = designs.trail.loc[:, (designs.trail != 0).any()]
    return tables


def _figures(designs: DesignResult) -> dict[str, Figure]:
    drawn: dict[str, Axes] = {
        "Compositions": designs.plot_compositions(),
        "How new they are": designs.plot_novelty(),
    }
    if not designs.trail.empty:
        drawn["The way to the first alloy"] = designs.plot_trail()
    if designs.attributes.get("inference") == "nuts":
        drawn["Chains, ranks"] = designs.plot_chains()
        drawn["Chains, draw by draw"] = designs.plot_chains(kind="trace")
    return {name: cast("Figure", axes.figure) for name, axes in drawn.items()}
