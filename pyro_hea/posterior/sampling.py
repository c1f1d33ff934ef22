"""The posterior of alloys, by one of three methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pyro_hea.errors import DataError
from pyro_hea.posterior.draws import GROUPS, draw_posterior
from pyro_hea.posterior.importance import importance_posterior
from pyro_hea.posterior.nuts import nuts_posterior

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior.ensemble import Ensemble


def sample_posterior(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    draws: int = 100,
    labels: Literal["use", "ignore"] = "use",
    method: Literal["guide", "importance", "nuts"] = "guide",
    member: int = 0,
    chains: int = 4,
    warmup: int = 150,
    groups: Sequence[str] = GROUPS,
    seed: int = 0,
    progress: bool = True,
) -> az.InferenceData:
    """Draw targets, latents and compositions of alloys; ArviZ plots the result.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    draws : int
        Of each chain. The dimension `chain` is the member, and R-hat says how far members
        differ; with "nuts" it is a Markov chain, and R-hat says whether it has converged.
    labels : {"use", "ignore"}
        Whether known labels are used or inferred too.
    method : {"guide", "importance", "nuts"}
        Draw from the guide (quick), from the model's own posterior by importance sampling
        (every member), or by NUTS (z alone, one member, targets fixed at the label or at the
        more probable class; a few alloys).
    member, chains, warmup : int
        Of "nuts".
    groups : sequence of str
        What "guide" draws; compositions take most of the time and of the memory.
    seed : int
    progress : bool
        Show a progress bar of "importance" and "nuts" after two seconds.

    Returns
    -------
    InferenceData
    """
    if method == "guide":
        return draw_posterior(
            ensemble, alloys, draws=draws, labels=labels, seed=seed, groups=groups
        )
    if method == "importance":
        return importance_posterior(
            ensemble, alloys, draws=draws, labels=labels, seed=seed, progress=progress
        )
    if method == "nuts":
        return nuts_posterior(
            ensemble,
            alloys,
            member=member,
            draws=draws,
            chains=chains,
            warmup=warmup,
            seed=seed,
            progress=progress,
        )
    raise DataError(f"there is no method {method!r}; allowed: 'guide', 'importance', 'nuts'")
