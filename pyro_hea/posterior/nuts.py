"""The latent by the No-U-Turn sampler, in one member and with the targets fixed.

The sampler moves in the coordinates of `LocalPosterior`, in which each alloy's posterior is close
to standard; the change of volume is accounted for, so that the answer is the model's posterior
whatever the coordinates are (Hoffman et al., NeuTra-lizing Bad Geometry in Hamiltonian Monte Carlo
Using Neural Transport, 2019).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.posterior.draws import add_labels, alloy_idata
from pyro_hea.posterior.limits import check_size
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.nuts_kernel import sample_nuts
from pyro_hea.posterior.traces import in_double_precision, log_densities

if TYPE_CHECKING:
    import arviz as az
    from torch import Tensor

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.program.model import AlloyModel

_FIT = 10, 2000
"""Rounds and particles of the fitted coordinates, affordable for a few alloys."""

_JUMPS, _DEEPEST, _ACCEPTED = 32, 3, 0.65
"""Jumps, greatest tree depth and target acceptance. All chains wait for the longest trajectory."""

_SPREAD = 1.5
"""Standard deviation of the chains' initial points; that of the posterior is about 1."""


def nuts_posterior(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    member: int,
    draws: int,
    chains: int,
    warmup: int,
    seed: int,
    progress: bool = False,
) -> az.InferenceData:
    """Draw the latents of alloys by NUTS within one member.

    Targets are fixed: at the label where there is one, else at the member's most probable class,
    and the median of a number.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    member : int
        Also a coordinate of the result.
    draws, chains, warmup : int
        Draws kept of each chain after `warmup` steps of adaptation.
    seed : int
    progress : bool
        Show a progress bar after two seconds.

    Returns
    -------
    InferenceData
        Groups `posterior` (z), `posterior_predictive` (composition, targets), `log_likelihood`,
        `sample_stats` (by draw `diverging` of any alloy, `lp` and `energy` of all in nats; by draw
        and alloy `n_steps`, the gradients, and `step_size`), `observed_data` and
        `constant_data` (features, and as `<target>_fixed` the value that each target was fixed
        at). The dimension `chain` is a Markov chain: R-hat and ESS mean what they say.
    """
    ensemble.check_member(member)
    batch = ensemble.batch(alloys)
    numbers = chains * draws * len(batch) * (2 * ensemble.spec.latent.dim + len(ensemble.elements))
    check_size(2 * numbers, "ask for fewer draws, or fewer alloys at a time")
    fixed = fixed_targets(ensemble, batch, member)
    model, exact = in_double_precision(ensemble.model.member(member), fixed)
    settings = {"draws": draws, "chains": chains, "warmup": warmup, "seed": seed}
    chain = sample_latents(model, exact, **settings, progress=progress)
    with torch.no_grad(), seeded(seed):
        z = chain.z.flatten(0, 1).unsqueeze(1)
        joint, likelihood = log_densities(model, exact, z)
        composition = model.likelihood(z, exact.targets).sample()

    def of_chains(value: Tensor) -> np.ndarray:
        return value.reshape(chains, draws, *value.shape[1:]).cpu().numpy()

    drawn = {
        "posterior": {"z": chain.z.cpu().numpy()},
        "posterior_predictive": {"composition": of_chains(composition[:, 0])},
        "log_likelihood": {"composition": of_chains(likelihood[:, 0])},
        "sample_stats": {
            "diverging": chain.diverging.any(-1).cpu().numpy(),
            "lp": of_chains(joint[:, 0].sum(-1)),
            "energy": chain.energy.sum(-1).cpu().numpy(),
            "n_steps": chain.steps.cpu().numpy(),
            "step_size": chain.step_size.expand(chains, draws, -1).cpu().numpy(),
        },
    }
    with seeded(seed):
        add_labels(drawn, ensemble.model.member(member), batch, draws, chains)
    attributes = {"inference": "nuts", "chain_is": "Markov chain", "member": member, "seed": seed}
    constant = {f"{name}_fixed": value.cpu().numpy() for name, value in fixed.targets.items()}
    return alloy_idata(ensemble, alloys, batch, drawn, attributes, constant, member=member)


def fixed_targets(ensemble: Ensemble, batch: AlloyBatch, member: int) -> AlloyBatch:
    """The same alloys with every target known: the label, else what is most probable."""
    values = {
        name: torch.broadcast_to(value, (ensemble.members, len(batch)))[member]
        for name, value in ensemble.most_probable(batch).items()
    }
    return replace(batch, targets=values, labelled={})


class Chains(NamedTuple):
    """Draws of z and of what the sampler did.

    `z` is (chains, draws, N, d); `diverging`, whether a trajectory was given up, and `steps`, the
    gradients that a draw took, are (chains, draws, N), and so is `energy`, minus the log density of
    position and momentum in nats, up to a constant; `step_size` is (N,).
    """

    z: Tensor
    diverging: Tensor
    steps: Tensor
    energy: Tensor
    step_size: Tensor


def sample_latents(
    model: AlloyModel,
    batch: AlloyBatch,
    *,
    draws: int,
    chains: int,
    warmup: int,
    seed: int,
    progress: bool = False,
) -> Chains:
    """Run chains of z for all alloys at once.

    Parameters
    ----------
    model : AlloyModel
        Of one member.
    batch : AlloyBatch
        With compositions and every label known; the alloys are independent of each other.
    draws, chains, warmup : int
        Draws kept of each chain, after `warmup` steps of adaptation.
    seed : int
    progress : bool

    Returns
    -------
    Chains
    """
    with seeded(seed), unvalidated(), model.cached_flow():
        local = LocalPosterior.fitted(model, batch, *_FIT)
        prior = model.latent_prior()

        def log_density(u: Tensor) -> Tensor:
            # The program's density without its constants: handlers would take half of the time.
            z, log_volume = local.latent(u)
            likelihood = model.likelihood(z, batch.targets).log_prob(batch.composition)
            return prior.log_prob(z) + likelihood + log_volume

        start = _SPREAD * torch.randn(chains, *local.loc.shape).to(local.loc)
        found = sample_nuts(
            log_density,
            start,
            local.standard,
            draws=draws,
            warmup=warmup,
            jumps=_JUMPS,
            deepest=_DEEPEST,
            accepted=_ACCEPTED,
            progress=progress,
        )
        with torch.no_grad():
            z = local.latent(found.draws)[0]
    z, diverging, steps, energy = (v.transpose(0, 1)[:, :, 0] for v in (z, *found[1:4]))
    return Chains(z, diverging, steps, energy, found.step_size[0])
