"""Protocols of design, judged by trees that never met the VAE.

Every share is of what was asked for: a start from which no design was found counts as a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from pyro_hea.design import Constraint, LargestFraction, MinElements
from pyro_hea.errors import ConstraintError
from pyro_hea.evaluate.judge import embedded_judge
from pyro_hea.materials.alloys.dataset import element_sets

if TYPE_CHECKING:
    from pyro_hea.design import DesignResult
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

TARGET = "single_phase"

HIGH_ENTROPY: tuple[Constraint, ...] = (MinElements(4), LargestFraction(0.5))
"""At least four elements, none above 50 at.%."""

DESIGNS = 500


def judged_designs(
    vae: DisentangledVAE, wish: int, *, n: int = DESIGNS, seed: int = 0, **settings: Any
) -> pd.DataFrame:
    """Sample designs for a wish among high-entropy alloys, and have them judged.

    Parameters
    ----------
    vae : DisentangledVAE
    wish : {0, 1}
        Of `single_phase`.
    n : int
    seed : int
    **settings
        As of `DisentangledVAE.design`.

    Returns
    -------
    DataFrame
        One row per design: `formula`, `elements` (its set of elements), `predicted` and `judged`
        (probability of a single phase), `novelty`, and whether it `violates` a constraint.
        `attrs["discarded"]` is the share that was thrown away.
    """
    return judged(
        vae.design({TARGET: wish}, HIGH_ENTROPY, n=n, seed=seed, min_probability=0, **settings)
    )


def judged(result: DesignResult) -> pd.DataFrame:
    """What the judge says of designs of high-entropy alloys, as `judged_designs` gives it."""
    fractions = result.fractions
    table = pd.DataFrame(
        {
            "formula": result.formulas,
            "elements": element_sets(fractions),
            "predicted": result.table[TARGET].to_numpy(),
            "judged": embedded_judge().predict(fractions),
            "novelty": result.table["novelty"].to_numpy(),
            "violates": violations(fractions).to_numpy(),
        }
    )
    table.attrs["discarded"] = float(result.attributes["discarded"])
    return table


def summary_of_designs(table: pd.DataFrame) -> dict[str, float]:
    """Shares, means and counts over designs, as `judged_designs` gives them."""
    return {
        "designs": len(table),
        "judged single phase": float((table["judged"] > 0.5).mean()),
        "mean of the judge": float(table["judged"].mean()),
        "mean prediction": float(table["predicted"].mean()),
        "violations": int(table["violates"].sum()),
        "element sets": table["elements"].nunique(),
        "smallest novelty": float(table["novelty"].min()),
        "median novelty": float(table["novelty"].median()),
        "discarded": table.attrs["discarded"],
    }


def violations(fractions: pd.DataFrame) -> pd.Series:
    """Which alloys are no compositions of at least four elements, none above 50 at.%.

    Counted from the fractions alone, apart from how the design checks its constraints.

    Examples
    --------
    >>> violations(pd.DataFrame([[0.25] * 4, [0.6, 0.2, 0.1, 0.1], [0.5, 0.5, 0, 0]])).tolist()
    [False, True, True]
    """
    total, most = fractions.sum(axis=1), fractions.max(axis=1)
    few = (fractions > 0).sum(axis=1) < 4
    return few | (most > 0.5 + 1e-9) | ((total - 1).abs() > 1e-9) | (fractions < 0).any(axis=1)


def judged_changes(
    vae: DisentangledVAE,
    alloys: AlloyDataset,
    workflow: Literal["invert", "nearest"],
    **settings: Any,
) -> pd.DataFrame:
    """Turn every multi-phase alloy into a single-phase one, and have the results judged.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : AlloyDataset
        Those labelled 0 are the starts.
    workflow : {"invert", "nearest"}
    **settings
        As of that method.

    Returns
    -------
    DataFrame
        One row per start: `start`, `formula` (None where nothing was found), `all_wishes`,
        `moved` (share of the atoms) and `judged` (probability of a single phase).
    """
    multi = alloys.take((alloys.labels[TARGET] == 0).to_numpy())
    change = getattr(vae, workflow)
    rows = []
    for formula in multi.formulas:
        row: dict[str, Any] = {
            "start": formula,
            "formula": None,
            "all_wishes": np.nan,
            "moved": np.nan,
            "judged": 0.0,
        }
        try:
            result = change(formula, {TARGET: 1}, **settings)
        except ConstraintError:
            rows.append(row)
            continue
        found = result.table.iloc[0]
        row |= {"formula": found.name, "all_wishes": found["all_wishes"]}
        row |= {
            "moved": result.attributes["moved"],
            "judged": embedded_judge().predict(result.fractions)[0],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def summary_of_changes(changes: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Shares and medians over the starts of several runs of `judged_changes`."""
    table = pd.concat(changes, ignore_index=True)
    moved = table["moved"].dropna()
    return {
        "starts": len(table),
        "found": float(table["formula"].notna().mean()),
        "judged single phase": float((table["judged"] > 0.5).mean()),
        "atoms moved, median": float(moved.median()) if len(moved) else float("nan"),
    }
