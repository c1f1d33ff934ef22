"""The model's own posterior by importance sampling, each alloy by itself.

For every class that an alloy may have, z is drawn from a distribution fitted to that alloy
(`LocalPosterior`) and weighed by the model: the weights' mean is the evidence p(x, y), and draws
by weight are draws of the model's posterior, whatever head and guide say.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyro
import torch

from pyro_hea.errors import DataError
from pyro_hea.posterior.draws import gather
from pyro_hea.posterior.ensemble import as_fractions
from pyro_hea.posterior.local import LocalPosterior
from pyro_hea.posterior.psis import smoothed

if TYPE_CHECKING:
    import arviz as az
    from torch import Tensor

    from pyro_hea.composition import Alloys
    from pyro_hea.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.model import AlloyModel
    from pyro_hea.posterior.ensemble import Ensemble

_ROWS = 400_000
"""Draws scored at a time, over members and alloys, which bounds the memory."""

_PARTICLES = 250
"""Draws behind an evidence."""


class Class(NamedTuple):
    """Weighed draws of z where the alloys are of one class.

    `values` holds each target's value; `z` is (S, K, N, d); `log_weight`, log p(x, y, z) - log q(z)
    in nats, is (S, K, N).
    """

    values: dict[str, float]
    z: Tensor
    log_weight: Tensor

    def evidence(self) -> Tensor:
        """Log p(x, y), (K, N), in nats."""
        return self.log_weight.logsumexp(0) - np.log(len(self.log_weight))


def weigh_classes(model: AlloyModel, batch: AlloyBatch, draws: int) -> list[Class]:
    """Draw and weigh z for each combination of the targets' classes.

    Parameters
    ----------
    model : AlloyModel
    batch : AlloyBatch
        With compositions; labels are not read.
    draws : int
        Of each class.

    Raises
    ------
    DataError
        For a target that has no classes to sum over.
    """
    targets = model.spec.targets
    for target in targets:
        if target.kind != "binary":
            raise DataError(
                f"target '{target.name}' is {target.kind}: the evidence is summed over classes, "
                "and only binary targets are summed"
            )
    one = torch.ones_like(batch.features[:, 0])
    classes = []
    for combination in product((0.0, 1.0), repeat=len(targets)):
        values = {t.name: v for t, v in zip(targets, combination, strict=True)}
        given = replace(batch, targets={n: v * one for n, v in values.items()}, labelled={})
        with pyro.validation_enabled(False):
            local = LocalPosterior.fitted(model, given)
            step = max(1, _ROWS // (model.members * len(batch)))
            parts = [
                local.weighted(model, given, min(step, draws - start))
                for start in range(0, draws, step)
            ]
        u, log_weight = (torch.cat(column) for column in zip(*parts, strict=True))
        with torch.no_grad():
            classes.append(Class(values, local.latent(u)[0], log_weight))
    return classes


def importance_posterior(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    draws: int,
    labels: Literal["use", "ignore"],
    seed: int,
) -> az.InferenceData:
    """Draw targets and latents of alloys from each member's own posterior.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    draws : int
        Of each member, resampled from as many of each class.
    labels : {"use", "ignore"}
        Whether known labels are used or inferred too.
    seed : int

    Returns
    -------
    InferenceData
        Groups `posterior`, `posterior_predictive`, `log_likelihood`, `observed_data` and
        `constant_data`, where `k_hat` (chain, alloy) says how far the weights can be trusted. The
        dimension `chain` is the member.
    """
    batch = ensemble.batch(alloys)
    devices = [ensemble.device] if ensemble.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        classes = weigh_classes(ensemble.model, batch, draws)
        z = torch.cat([c.z for c in classes])
        log_weight = torch.cat(
            [
                c.log_weight.masked_fill(~_possible(c, batch), -torch.inf)
                if labels == "use"
                else c.log_weight
                for c in classes
            ]
        )
        weight, k_hat = smoothed(log_weight.double().cpu().numpy())
        chosen = torch.as_tensor(_resampled(weight, draws, seed), device=z.device)
        y = {
            name: torch.cat(
                [torch.full_like(c.log_weight, c.values[name]) for c in classes]
            ).gather(0, chosen)
            for name in ensemble.spec.target_names
        }
        z = z.gather(0, chosen[..., None].expand(*chosen.shape, z.shape[-1]))
        with torch.no_grad(), pyro.validation_enabled(False):
            composition = ensemble.model.likelihood(z, y)
            sampled, fit = composition.sample(), composition.log_prob(batch.composition)

    def of_chains(value: Tensor) -> np.ndarray:
        return value.cpu().numpy().swapaxes(0, 1)

    drawn = {
        "posterior": {**{n: of_chains(v) for n, v in y.items()}, "z": of_chains(z)},
        "posterior_predictive": {"composition": of_chains(sampled)},
        "log_likelihood": {"composition": of_chains(fit)},
    }
    attributes = {"inference": "importance", "chain_is": "member", "seed": seed}
    return gather(ensemble, alloys, batch, drawn, attributes, {"k_hat": k_hat})


def label_evidence(ensemble: Ensemble, alloys: AlloyDataset | Alloys, *, seed: int) -> pd.DataFrame:
    """What each member's model says of the label, p(y | x), beside its head, q(y | φ).

    Returns
    -------
    DataFrame
        By formula, for each binary target `t`: `t_label` (NaN where unknown), `t_head` and
        `t_model` (probability of 1, mean over the members; the other targets are summed out) and
        `t_gap`, the second minus the first.
    """
    batch = ensemble.batch(alloys)
    devices = [ensemble.device] if ensemble.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        classes = weigh_classes(ensemble.model, batch, _PARTICLES)
    share = torch.stack([c.evidence() for c in classes]).double().softmax(0)
    columns = {}
    for name, head in ensemble.head_probabilities(batch.features).items():
        value = torch.tensor([c.values[name] for c in classes]).to(share)
        model = (value[:, None, None] * share).sum(0).mean(0).cpu().numpy()
        label = torch.full_like(head[0], torch.nan)
        if name in batch.targets:
            label = batch.targets[name].masked_fill(~batch.known(name), torch.nan)
        said = head.double().mean(0).cpu().numpy()
        columns[f"{name}_label"] = label.double().cpu().numpy()
        columns |= {f"{name}_head": said, f"{name}_model": model, f"{name}_gap": model - said}
    return pd.DataFrame(columns, as_fractions(alloys).index)


def _possible(drawn: Class, batch: AlloyBatch) -> Tensor:
    """Alloys that may be of a class by what is known of them, (N,)."""
    possible = torch.ones(len(batch), dtype=torch.bool, device=batch.features.device)
    for name, value in drawn.values.items():
        if name in batch.targets:
            possible &= ~batch.known(name) | (batch.targets[name] == value)
    return possible


def _resampled(weight: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Positions by weight, (draws, K, N): systematic, in random order, from weights (S, K, N)."""
    rng = np.random.default_rng(seed)
    flat = np.cumsum(weight.reshape(len(weight), -1), 0)
    flat /= flat[-1]
    points = (np.arange(draws)[:, None] + rng.random((1, flat.shape[1]))) / draws
    columns = zip(flat.T, points.T, strict=True)
    chosen = np.stack([np.searchsorted(cdf, at, side="right") for cdf, at in columns], 1)
    rng.permuted(chosen, axis=0, out=chosen)
    return chosen.reshape(draws, *weight.shape[1:])
