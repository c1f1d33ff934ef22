"""The table of designs: what was wished first, then what each alloy is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from pyro_hea.design.objectives import non_dominated, unit_of
from pyro_hea.materials.alloys.composition import format_formula
from pyro_hea.posterior import predict
from pyro_hea.posterior.predictions import beta_interval
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.problem import Problem

_BLOCK = 1024
"""Alloys whose distances from the known ones are in memory at a time."""

_SPREADS = ("_sd", "_epistemic", "_aleatoric")
"""Columns that come after the composition."""

_PERTURBED = 64
"""Compositions around each alloy behind its probability within a tolerance."""


def design_table(problem: Problem, fractions: pd.DataFrame) -> pd.DataFrame:
    """Alloys (N, E) with their predictions, and the known alloy nearest to each, by formula.

    Columns: `all_wishes` and its interval, what was wished for, objectives, the
    fraction of each element, other predictions, `novelty` and `known`. Units are in
    `attrs["units"]`.
    """
    ensemble = problem.ensemble
    x = fractions.to_numpy(float)
    formulas = [format_formula(dict(row[row > 0])) for _, row in fractions.iterrows()]
    fractions = fractions.reset_index(drop=True)
    predicted = predict(ensemble, fractions, conditions=problem.conditions).reset_index(drop=True)
    asked = [*problem.targets, *(o.name for o in problem.objectives if o.predicted)]
    names = ensemble.spec.target_names
    first = [c for name in asked for c in columns_of(predicted, name, names)]
    first = [c for c in first if not c.endswith(_SPREADS)]
    wished = wished_columns(problem, x)
    spread = wished.pop("all_wishes_sd")
    distance, nearest = _nearest_known(x, ensemble.known.to_numpy(float))
    table = pd.concat(
        [
            wished,
            predicted[first],
            objective_columns(problem, x),
            fractions,
            predicted.drop(columns=first),
            spread,
            pd.DataFrame({"novelty": distance, "known": ensemble.known.index[nearest]}),
        ],
        axis=1,
    ).set_axis(pd.Index(formulas, name="formula"))
    table.attrs["units"] = _units(problem, table)
    return table


def columns_of(predicted: pd.DataFrame, name: str, targets: tuple[str, ...]) -> list[str]:
    """Columns of a target: value, interval and the rest, and the probability of each class."""
    ends = ("", "_low", "_high", *_SPREADS)
    own = [f"{name}{end}" for end in ends if f"{name}{end}" in predicted]
    classes = [str(c) for c in predicted if str(c).startswith(f"{name}[")]
    return own + [c for c in classes if c not in targets]


def wished_columns(problem: Problem, fractions: NDArray[np.float64]) -> pd.DataFrame:
    """Probability that all wishes hold together, with its interval and spread over members."""
    members = problem.probability(fractions)
    mean, sd = members.mean(0), members.std(0)
    low, high = beta_interval(mean, sd)
    columns = {"all_wishes": mean, "all_wishes_low": low, "all_wishes_high": high}
    if problem.tolerance is not None:
        columns["all_wishes_within_tolerance"] = _within_tolerance(problem, fractions)
    return pd.DataFrame({**columns, "all_wishes_sd": sd})


def _within_tolerance(problem: Problem, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean probability of all wishes where each fraction present is off by up to the tolerance."""
    assert problem.tolerance is not None
    rng = np.random.default_rng(0)
    total = np.zeros(len(fractions))
    for _ in range(_PERTURBED):
        error = rng.uniform(-problem.tolerance, problem.tolerance, fractions.shape)
        made = np.where(fractions > 0, np.maximum(fractions + error, 1e-6), 0.0)
        total += problem.probability(made / made.sum(1, keepdims=True)).mean(0)
    return total / _PERTURBED


def objective_columns(problem: Problem, fractions: NDArray[np.float64]) -> pd.DataFrame:
    """Objectives that are calculated, and the share of the members in whose view an alloy is best.

    `pareto` is the share of the members by whose predictions no other of the alloys is as good in
    every objective and better in one.
    """
    if not problem.objectives:
        return pd.DataFrame(index=range(len(fractions)))
    values = {o.name: o.values(fractions) for o in problem.objectives}
    calculated = {o.name: values[o.name][0] for o in problem.objectives if not o.predicted}
    signs = [1.0 if o.direction == "max" else -1.0 for o in problem.objectives]
    scores = np.stack([s * v for s, v in zip(signs, values.values(), strict=True)], -1)
    share = np.mean([non_dominated(member) for member in scores], axis=0)
    return pd.DataFrame({**calculated, "pareto": share})


def _nearest_known(
    fractions: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Total variation from the nearest known alloy, (N,), and which it is, (N,)."""
    distances, rows = np.zeros(len(fractions)), np.zeros(len(fractions), np.intp)
    for start in range(0, len(fractions), _BLOCK):
        block = slice(start, start + _BLOCK)
        away = cdist(fractions[block], known, "cityblock") / 2
        rows[block] = away.argmin(1)
        distances[block] = away.min(1)
    return distances, rows


def _units(problem: Problem, table: pd.DataFrame) -> dict[str, str]:
    """Unit of each column that has a number."""
    ensemble = problem.ensemble
    units = {str(c): "probability" for c in table if str(c).startswith("all_wishes")}
    units |= dict.fromkeys(ensemble.elements, "atomic fraction")
    for target in ensemble.spec.targets:
        for column in columns_of(table, target.name, ensemble.spec.target_names):
            if table[column].dtype.kind == "f":
                unit = unit_of(ensemble, target.name) if isinstance(target, Continuous) else ""
                units[column] = unit or "probability"
    units |= {o.name: o.unit for o in problem.objectives}
    if problem.objectives:
        units["pareto"] = "share of the members"
    return units | {"novelty": "fraction of the atoms"}
