"""Draws from the guide and from the prior of every member, as InferenceData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pyro import poutine

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import DataError, nearest
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.posterior.ensemble import Ensemble, as_fractions
from pyro_hea.posterior.idata import ALLOY_DIMS, to_inference_data
from pyro_hea.posterior.labels import (
    label_coords,
    label_dims,
    label_log_likelihood,
    labelled_rows,
    observed_labels,
    predictive_labels,
    probabilities,
    probability_dims,
)
from pyro_hea.posterior.limits import check_size
from pyro_hea.posterior.traces import vectorized
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    import arviz as az
    from torch import Tensor

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel

_FRACTIONS_PER_CHUNK = 1_000_000
"""Fractions drawn at a time, so that a chunk stays in the processor's cache."""

_JITTER = 1e-6
"""Standard deviation, in nats, of noise in the log likelihood of labels. A head gives a label the
same one in all draws of a member, and ArviZ 1 refuses to smooth weights that are all the same."""

GROUPS = ("posterior", "posterior_predictive", "log_likelihood", "prior", "prior_predictive")
"""Groups that can be drawn."""

Groups = dict[str, dict[str, "Tensor"]]


def draw_posterior(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    draws: int,
    labels: Literal["use", "ignore"],
    seed: int,
    groups: Sequence[str] = GROUPS,
) -> az.InferenceData:
    """Draw targets and latents from every member's guide, and compositions from both.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    draws : int
        Draws of each member.
    labels : {"use", "ignore"}
        Whether labels that the alloys have are taken as known or inferred too.
    seed : int
    groups : sequence of str
        Which of `GROUPS` are drawn: compositions take most of the time and of the memory.

    Returns
    -------
    InferenceData
        Groups `posterior` and `prior` (targets, z), `posterior_predictive` and
        `prior_predictive` (composition, targets), `log_likelihood`, `observed_data` and
        `constant_data`. The dimension `chain` is the member. Beside the draws of a target with
        classes, `posterior` holds `<target>_probability`: what the heads give each class. Targets
        of the other groups are over `<target>_alloy`, the alloys that have a label; predictive
        draws and log likelihoods of labels are those of the heads, which do not see the label.
    """
    if labels not in ("use", "ignore"):
        raise DataError(f"labels={labels!r} is not allowed; use 'use' or 'ignore'")
    if draws < 1:
        raise DataError(f"draws={draws} is not allowed; draw at least 1")
    for group in groups:
        if group not in GROUPS:
            raise DataError(
                f"there is no group {group!r}.{nearest(group, GROUPS)} Allowed: {', '.join(GROUPS)}"
            )
    batch = ensemble.batch(alloys)
    size = ensemble.members * len(batch) * len(ensemble.elements)
    of_group = {"posterior_predictive": size, "prior_predictive": size}
    few = ensemble.members * len(batch) * (ensemble.spec.latent.dim + len(ensemble.spec.targets))
    check_size(
        draws * sum(of_group.get(group, few) for group in groups),
        "ask for fewer draws, fewer alloys at a time, or groups=('posterior',)",
    )
    gathered: dict[str, dict[str, np.ndarray]] = {group: {} for group in groups}
    with torch.no_grad(), seeded(seed), unvalidated():
        for start in range(0, draws, step := max(1, _FRACTIONS_PER_CHUNK // size)):
            count = min(step, draws - start)
            drawn = _posterior(ensemble, batch, labels, count, groups)
            drawn |= _prior(ensemble, batch, count, groups)
            for group in groups:
                for name, value in drawn[group].items():
                    chunk = value.cpu().numpy().swapaxes(0, 1)
                    shape = (len(chunk), draws, *chunk.shape[2:])
                    into = gathered[group].setdefault(name, np.empty(shape, chunk.dtype))
                    into[:, start : start + count] = chunk
        add_labels(gathered, ensemble.model, batch, draws)
    attributes = {"inference": "variational", "chain_is": "member", "seed": seed}
    return alloy_idata(ensemble, alloys, batch, gathered, attributes)


def prior_predictive(ensemble: Ensemble, n: int, seed: int) -> az.InferenceData:
    """Draw alloys from the prior predictive, as `pyro.infer.Predictive` would.

    Parameters
    ----------
    ensemble : Ensemble
    n : int
        Alloys of each member. A prior that reads features reads those of training alloys, drawn
        at random.
    seed : int

    Returns
    -------
    InferenceData
        Groups `prior` (targets, z) and `prior_predictive` (composition), each draw an alloy. The
        dimension `chain` is the member.
    """
    if n < 1:
        raise DataError(f"n={n} is not allowed; draw at least 1")
    width = max(ensemble.spec.decoder.hidden, default=1)
    check_size(
        n * ensemble.members * (2 * width + len(ensemble.elements) + ensemble.spec.latent.dim),
        "draw fewer at a time, with other seeds",
    )
    rows = np.random.default_rng(seed).integers(len(ensemble.known), size=n)
    batch = replace(ensemble.batch(ensemble.known.iloc[rows]), fractions=None)
    with torch.no_grad(), seeded(seed), unvalidated():
        trace = poutine.trace(ensemble.model.model).get_trace(batch)
    nodes: dict[str, Any] = dict(trace.nodes)
    sites = {name: nodes[name]["value"] for name in (*ensemble.spec.target_names, "z")}
    values = {
        name: value.expand(ensemble.members, n, *value.shape[2:]).cpu().numpy()
        for name, value in sites.items()
    }
    return to_inference_data(
        {
            "prior": values,
            "prior_predictive": {"composition": nodes["composition"]["value"].cpu().numpy()},
        },
        observed={},
        constant={},
        dims={"composition": ["element"], "z": ["latent"]},
        default_dims=[],
        coords={
            "element": list(ensemble.elements),
            "latent": [f"z{i}" for i in range(ensemble.spec.latent.dim)],
        },
        attributes={"inference": "prior", "chain_is": "member", "seed": seed},
    )


def alloy_idata(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    batch: AlloyBatch,
    drawn: Mapping[str, Mapping[str, np.ndarray]],
    attributes: Mapping[str, Any],
    constant: Mapping[str, np.ndarray] | None = None,
    **coords: Any,
) -> az.InferenceData:
    """InferenceData of draws of given alloys, with their observed and constant data.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    batch : AlloyBatch
        The same alloys.
    drawn : mapping of group to mapping of site to array of shape (chain, draw, alloy, ...)
    attributes : mapping
        Of every group.
    constant : mapping of str to array of shape (alloy,), optional
        Further variables of `constant_data`.
    **coords
        Further coordinates.
    """
    formulas = list(as_fractions(alloys).index)
    labels = observed_labels(ensemble.model, batch)
    return to_inference_data(
        drawn,
        observed={
            "composition": ensemble.fractions(alloys).to_numpy(float),
            **{name: value.cpu().numpy() for name, value in labels.items()},
        },
        constant={"features": batch.features.cpu().numpy(), **(constant or {})},
        dims=ALLOY_DIMS | probability_dims(ensemble.spec),
        data_dims=label_dims(ensemble.spec),
        default_dims=["alloy"],
        coords={
            "alloy": formulas,
            **label_coords(ensemble.spec, batch, formulas),
            "element": list(ensemble.elements),
            "feature": list(ensemble.feature_map.names),
            "latent": [f"z{i}" for i in range(ensemble.spec.latent.dim)],
            **coords,
        },
        attributes=attributes,
    )


def _posterior(
    ensemble: Ensemble, batch: AlloyBatch, labels: str, draws: int, groups: Sequence[str]
) -> Groups:
    if not {"posterior", "posterior_predictive", "log_likelihood"} & set(groups):
        return {}
    model, shape = ensemble.model, (draws, ensemble.members, len(batch))
    known = batch if labels == "use" else batch.without_labels()
    sites = vectorized(model.guide, draws)(known)
    z = sites["z"].expand(*shape, -1)
    y = {name: value.expand(shape) for name, value in sites.items() if name != "z"}
    drawn: Groups = {"posterior": {**y, "z": z, **probabilities(model, known, y)}}
    if {"posterior_predictive", "log_likelihood"} & set(groups):
        composition = model.likelihood(z, y)
        drawn["log_likelihood"] = {"composition": composition.log_prob(batch.composition)}
        if "posterior_predictive" in groups:
            drawn["posterior_predictive"] = {"composition": composition.sample()}
    return drawn


def _prior(ensemble: Ensemble, batch: AlloyBatch, draws: int, groups: Sequence[str]) -> Groups:
    if not {"prior", "prior_predictive"} & set(groups):
        return {}
    model, shape = ensemble.model, (draws, ensemble.members, len(batch))
    unknown = batch.without_labels()
    if "prior_predictive" in groups:  # else the compositions are left as they are: quicker
        unknown = unknown.replaced(fractions=None)
    trace = poutine.trace(vectorized(model.model, draws)).get_trace(unknown)
    nodes: dict[str, Any] = dict(trace.nodes)
    drawn: Groups = {"prior": {"z": nodes["z"]["value"].expand(*shape, -1)}}
    for name in ensemble.spec.target_names:
        drawn["prior"][name] = nodes[name]["value"].expand(shape)
    if "prior_predictive" in groups:
        drawn["prior_predictive"] = {"composition": nodes["composition"]["value"]}
        for name, rows in labelled_rows(batch).items():
            value = drawn["prior"][name][..., rows]
            whole = not isinstance(model.site(name), ContinuousSite)
            drawn["prior_predictive"][name] = value.long() if whole else value
    return drawn


def add_labels(
    drawn: Mapping[str, dict[str, np.ndarray]],
    model: AlloyModel,
    batch: AlloyBatch,
    draws: int,
    chains: int | None = None,
) -> None:
    """Add predictive draws and log likelihoods of labels to the groups that are there.

    Parameters
    ----------
    drawn : mapping of group to mapping of site to array of shape (chain, draw, ...)
    model : AlloyModel
    batch : AlloyBatch
        With its labels.
    draws : int
        Of each chain.
    chains : int, optional
        Markov chains of a model of one member; a chain is a member otherwise.
    """
    shape = (chains or model.members, draws)
    if "posterior_predictive" in drawn:
        for name, value in predictive_labels(model, batch, draws * (chains or 1)).items():
            by_chain = value.transpose(0, 1).reshape(*shape, -1)
            drawn["posterior_predictive"][name] = by_chain.cpu().numpy()
    if "log_likelihood" in drawn:
        for name, value in label_log_likelihood(model, batch).items():
            by_chain = value.double().unsqueeze(1).expand(*shape, -1)
            jitter = _JITTER * torch.randn_like(by_chain)
            drawn["log_likelihood"][name] = (by_chain + jitter).cpu().numpy()
