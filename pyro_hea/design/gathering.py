"""Results from alloys: their table, their InferenceData, and those that are likely enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.design.batch import information
from pyro_hea.design.result import DesignResult
from pyro_hea.design.table import design_table
from pyro_hea.errors import ConstraintError, DesignWarning, warn
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.design.problem import Problem
    from pyro_hea.posterior import Ensemble

LIKELY = 0.5
"""Probability of all wishes below which a design is less likely than not to meet them."""


def likely_enough(
    result: DesignResult, min_probability: float | None, warning: bool = True
) -> DesignResult:
    """Leave out the alloys whose wishes hold with a lower probability, or warn of them.

    Raises
    ------
    ConstraintError
        Where none is left.
    """
    q = result.table["all_wishes"].to_numpy()
    if min_probability is None:
        unlikely = int((q < LIKELY).sum())
        if warning and unlikely:
            warn(
                f"{unlikely} of {len(q)} designs are less likely than not to meet all wishes; the "
                f"best has a probability of {q.max():.2f}. min_probability={LIKELY} leaves them "
                "out, 0 returns them without this warning; or loosen the wishes or constraints",
                DesignWarning,
            )
        return result
    if not 0 <= min_probability <= 1:
        raise ConstraintError(
            f"min_probability={min_probability} is not allowed; it is from 0 to 1"
        )
    enough = q >= min_probability
    if not enough.any():
        raise ConstraintError(
            f"no design meets all wishes with a probability of {min_probability:g}; the best, "
            f"{result.formulas[q.argmax()]}, has {q.max():.2f}. Lower "
            "min_probability, or loosen the wishes or constraints"
        )
    return result if enough.all() else result[enough]


def gather(
    problem: Problem,
    fractions: np.ndarray,
    attributes: Mapping[str, Any],
    *,
    latents: Mapping[str, np.ndarray] | None = None,
    trail: pd.DataFrame | None = None,
    best_first: bool = True,
    sites: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> DesignResult:
    """Make a result of alloys (N, E).

    Parameters
    ----------
    problem : Problem
    fractions : ndarray, shape (N, E)
        Rounded compositions.
    attributes : mapping
    latents : mapping of {"z", "member"} to array of shape (N, ...), optional
        Where the alloys were decoded from.
    trail : DataFrame, optional
    best_first : bool
        Put the most probable first; otherwise keep the order.
    sites : mapping of group to mapping of site to array of shape (C, draws, K, ...), optional
        Of the Markov chains that the alloys were chosen from.
    """
    columns = list(problem.ensemble.elements)
    table = design_table(problem, pd.DataFrame(fractions, columns=columns))
    attributes = {
        **attributes,
        **problem.conditions,
        "assumed": ", ".join(map(repr, problem.assumed)),
    }
    if problem.objectives:
        named = (f"{o.name} {o.direction}" for o in problem.objectives)
        attributes["objectives"] = ", ".join(named)
    order = np.arange(len(table))
    if best_first:
        order = np.argsort(-table["all_wishes"].to_numpy(), kind="stable")
    table = table.iloc[order]
    drawn = {name: values[order] for name, values in (latents or {}).items()}
    drawn["information"] = information(problem.probability(fractions[order]))
    trail = pd.DataFrame() if trail is None else trail
    idata = _idata(_sites(table, drawn, problem.ensemble), problem.ensemble, attributes)
    if sites is None:
        return DesignResult(table, idata, attributes, trail)
    chains = _idata(sites, problem.ensemble, attributes, ["member"])
    return DesignResult(table, chains, attributes, trail, cast("Any", idata["posterior"]))


def _sites(
    table: pd.DataFrame, latents: Mapping[str, np.ndarray], ensemble: Ensemble
) -> dict[str, dict[str, np.ndarray]]:
    """Designs as draws of one chain: `composition`, each target's probability, and latents."""
    sites = {
        **latents,
        "composition": table[list(ensemble.elements)].to_numpy(float),
        **{name: table[name].to_numpy(float) for name in _predicted(ensemble)},
    }
    return {"posterior": {name: value[None] for name, value in sites.items()}}


def _idata(
    sites: Mapping[str, Mapping[str, np.ndarray]],
    ensemble: Ensemble,
    attributes: Mapping[str, Any],
    dims: Sequence[str] = (),
) -> az.InferenceData:
    """Sites (chain, draw, ...) by group, with these dimensions before their own."""
    own = {"z": ["latent"], "composition": ["element"]}
    names = {name for group in sites.values() for name in group}
    return to_inference_data(
        sites,
        observed={},
        constant={},
        dims={name: [*dims, *own.get(name, [])] for name in names},
        default_dims=[],
        coords={
            "latent": [f"z{i}" for i in range(ensemble.spec.latent.dim)],
            "element": list(ensemble.elements),
            **({"member": np.arange(ensemble.members)} if dims else {}),
        },
        attributes=attributes,
    )


def _predicted(ensemble: Ensemble) -> list[str]:
    """Columns of the targets: a probability or a mean, and of classes the probability of each."""
    return [
        column
        for target in ensemble.spec.targets
        for column in (
            (target.name,)
            if isinstance(target, Binary | Continuous)
            else (f"{target.name}[{c}]" for c in target.classes)
        )
    ]
