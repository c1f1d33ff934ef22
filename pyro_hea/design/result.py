"""Designed alloys: one table, and the draws that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from pyro_hea.composition import format_formula
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import OutputError
from pyro_hea.posterior import predict
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.predictions import beta_interval

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.design.problem import Problem
    from pyro_hea.posterior import Ensemble


@dataclass(frozen=True, eq=False, repr=False)
class DesignResult:
    """Alloys that were asked for.

    Attributes
    ----------
    table : DataFrame
        One row per alloy, the most probable first: `formula`, the fraction of each element,
        each target as in `predict`, `all_wishes` (probability that all wishes hold together,
        with `_sd`, `_low` and `_high`), `novelty` (total-variation distance to the nearest known
        alloy) and `known` (that alloy). Predictions are of the alloy as it stands here.
    idata : InferenceData
        The same alloys with their latents.
    attributes : mapping
        How they were drawn: candidates, the share `discarded`, the effective sample size.
    """

    table: pd.DataFrame
    idata: az.InferenceData
    attributes: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        a = self.attributes
        return (
            f"DesignResult({len(self)} alloys from {a['candidates']} candidates, "
            f"{a['discarded']:.0%} of them discarded)"
        )

    def _repr_html_(self) -> str:
        present = self.table.loc[:, (self.table != 0).any()]
        return f"<p>{self!r}</p>{present.head(20).round(3).to_html(index=False)}"

    def to_csv(self, path: str | Path) -> None:
        """Write the table; fractions and probabilities with six digits."""
        try:
            self.table.to_csv(path, index=False, float_format="%.6g")
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error


def design_table(problem: Problem, fractions: pd.DataFrame) -> pd.DataFrame:
    """Alloys with their predictions, whether all wishes hold, and the known alloy nearest to each.

    Parameters
    ----------
    problem : Problem
    fractions : DataFrame, shape (N, E)
    """
    ensemble = problem.ensemble
    formulas = [format_formula(dict(row[row > 0])) for _, row in fractions.iterrows()]
    fractions = fractions.set_axis(pd.Index(formulas, name="formula"))
    distance = cdist(fractions.to_numpy(), ensemble.known.to_numpy(), "cityblock") / 2
    nearest = distance.argmin(1)
    return (
        fractions.join([predict(ensemble, fractions), wished(problem, fractions)])
        .assign(
            novelty=distance[np.arange(len(nearest)), nearest],
            known=ensemble.known.index[nearest].to_numpy(),
        )
        .reset_index()
    )


def wished(problem: Problem, fractions: pd.DataFrame) -> pd.DataFrame:
    """Probability that all wishes hold together, with its spread over members and interval."""
    alloys = torch.tensor(fractions.to_numpy(float), device=problem.ensemble.device)
    members = fulfilment(problem.ensemble, alloys, problem.targets).double().cpu().numpy()
    mean, sd = members.mean(0), members.std(0)
    low, high = beta_interval(mean, sd)
    columns = {"": mean, "_sd": sd, "_low": low, "_high": high}
    return pd.DataFrame(
        {f"all_wishes{suffix}": values for suffix, values in columns.items()}, fractions.index
    )


def design_idata(
    table: pd.DataFrame,
    z: np.ndarray,
    member: np.ndarray,
    ensemble: Ensemble,
    attributes: Mapping[str, Any],
) -> az.InferenceData:
    """Designs as draws of one chain: sites `z` and `composition`, and each target's probability."""
    sites = {
        "z": z,
        "composition": table[list(ensemble.elements)].to_numpy(float),
        **{name: table[name].to_numpy(float) for name in ensemble.spec.target_names},
        "member": member,
    }
    return to_inference_data(
        {"posterior": {name: value[None] for name, value in sites.items()}},
        observed={},
        constant={},
        dims={"z": ["latent"], "composition": ["element"]},
        default_dims=[],
        coords={
            "latent": [f"z{i}" for i in range(z.shape[1])],
            "element": list(ensemble.elements),
        },
        attributes=attributes,
    )
