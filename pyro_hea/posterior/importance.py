"""The model's own posterior by importance sampling, each alloy by itself.

For every class that an alloy may have, z is drawn from a distribution fitted to that alloy
(`LocalPosterior`) and weighted by the model: the mean weight is the evidence p(x, y), and draws
resampled by weight are draws of the model's posterior.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import DataError
from pyro_hea.posterior.draws import add_labels, alloy_idata
from pyro_hea.posterior.ensemble import as_fractions
from pyro_hea.posterior.labels import probabilities
from pyro_hea.posterior.limits import check_size
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.marginals import marginals
from pyro_hea.posterior.psis import psis
from pyro_hea.spec import Binary, Categorical, Continuous, Ordinal

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.program.model import AlloyModel

_DELAY = 2.0
"""Seconds after which the progress bar is shown."""

_PARTICLES = 250
"""Draws per class for the evidence."""


class WeightedClass(NamedTuple):
    """Weighted draws of z where the alloys are of one class.

    `values` holds the value of each target that has classes; `z` is (S, K, N, d); `log_weight`,
    log p(x, y, z) - log q(z) in nats, is (S, K, N).
    """

    values: dict[str, float]
    z: Tensor
    log_weight: Tensor

    def evidence(self) -> Tensor:
        """Log p(x, y), (K, N), in nats."""
        return self.log_weight.logsumexp(0) - np.log(len(self.log_weight))


def weighted_classes(
    model: AlloyModel, batch: AlloyBatch, draws: int, progress: bool = False
) -> list[WeightedClass]:
    """Draw z and weight it for each possible combination of the targets' classes.

    Parameters
    ----------
    model : AlloyModel
    batch : AlloyBatch
        With compositions, and with the value of every target that is a number; labels of classes
        are not read.
    draws : int
        Of each class.
    progress : bool
        Show a progress bar after two seconds.

    Raises
    ------
    DataError
        For a number that is not known: there are no classes to sum over.
    """
    numbers = {}
    for target in model.spec.targets:
        if isinstance(target, Continuous):
            if not batch.known(target.name).all():
                raise DataError(
                    f"target '{target.name}' is a number that is not known of every alloy: the "
                    "evidence is a sum over classes; give its labels, or use the guide's draws"
                )
            numbers[target.name] = batch.targets[target.name]
    one = torch.ones_like(batch.features[:, 0])
    classes = []
    combinations = _combinations(model)
    for values in tqdm(
        combinations, "importance sampling", unit="class", delay=_DELAY, disable=not progress
    ):
        known = numbers | {n: v * one for n, v in values.items()}
        given = replace(batch, targets=known, labelled={})
        with unvalidated(), model.cached_flow():
            local = LocalPosterior.fitted(model, given)
            _, z, log_weight = local.weighted(model, given, draws)
        classes.append(WeightedClass(values, z, log_weight))
    return classes


def _combinations(model: AlloyModel) -> list[dict[str, float]]:
    """Classes of all targets that have some, where none of them rules another out."""
    combinations: list[dict[str, float]] = [{}]
    for target in model.targets:
        if isinstance(target, Continuous):
            continue
        only = target.only if isinstance(target, Categorical) else {}
        combinations = [
            values | {target.name: float(position)}
            for values in combinations
            for position, name in enumerate(target.classes)
            if all(
                name in possible[_classes(model, parent)[int(values[parent])]]
                for parent, possible in only.items()
            )
        ]
    return combinations


def _classes(model: AlloyModel, name: str) -> tuple[str, ...]:
    target = model.spec.target(name)
    assert not isinstance(target, Continuous)
    return target.classes


def importance_posterior(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    draws: int,
    labels: Literal["use", "ignore"],
    seed: int,
    progress: bool = False,
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
    progress : bool
        Show a progress bar after two seconds.

    Returns
    -------
    InferenceData
        Groups `posterior`, `posterior_predictive`, `log_likelihood`, `observed_data` and
        `constant_data`, where `k_hat` (chain, alloy) says how far the weights can be trusted. The
        dimension `chain` is the member.
    """
    batch = ensemble.batch(alloys)
    known = batch if labels == "use" else batch.without_labels()
    of_draw = len(_combinations(ensemble.model)) * (ensemble.spec.latent.dim + 4)
    check_size(
        draws * ensemble.members * len(batch) * (of_draw + len(ensemble.elements)),
        "ask for fewer draws, or fewer alloys at a time",
    )
    with seeded(seed):
        classes = weighted_classes(ensemble.model, known, draws, progress)
        z = torch.cat([c.z for c in classes])
        log_weight = torch.cat(
            [c.log_weight.masked_fill(~_possible(c, known), -torch.inf) for c in classes]
        )
        weight, k_hat = psis(log_weight.double().cpu().numpy())
        chosen = torch.as_tensor(_resampled(weight, draws, seed), device=z.device)
        numbers = {n: v for n, v in known.targets.items() if n not in classes[0].values}
        y = {
            name: numbers[name].expand(chosen.shape)
            if name in numbers
            else torch.cat([torch.full_like(c.log_weight, c.values[name]) for c in classes]).gather(
                0, chosen
            )
            for name in ensemble.spec.target_names
        }
        z = z.gather(0, chosen[..., None].expand(*chosen.shape, z.shape[-1]))
        with torch.no_grad(), unvalidated():
            composition = ensemble.model.likelihood(z, y)
            sampled, fit = composition.sample(), composition.log_prob(batch.composition)
            of_class = probabilities(ensemble.model, batch, y)

    def of_chains(value: Tensor) -> np.ndarray:
        return value.cpu().numpy().swapaxes(0, 1)

    drawn = {
        "posterior": {n: of_chains(v) for n, v in {**y, "z": z, **of_class}.items()},
        "posterior_predictive": {"composition": of_chains(sampled)},
        "log_likelihood": {"composition": of_chains(fit)},
    }
    with seeded(seed):
        add_labels(drawn, ensemble.model, batch, draws)
    attributes = {"inference": "importance", "chain_is": "member", "seed": seed}
    return alloy_idata(ensemble, alloys, batch, drawn, attributes, {"k_hat": k_hat})


def label_evidence(
    ensemble: Ensemble, alloys: AlloyDataset | Alloys, *, seed: int = 0
) -> pd.DataFrame:
    """Probability of each label by the model, p(y | x), beside the head's, q(y | φ).

    Returns
    -------
    DataFrame
        By formula, for each binary target `t`: `t_label` (NaN where unknown), `t_head` and
        `t_model` (probability of 1, mean over the members; the other targets are summed out) and
        `t_gap`, the second minus the first. For a target of several classes, `t_label` is the
        class, and the rest is of each class: `t_head[class]`, ….

    Raises
    ------
    DataError
        For a number that is not known of every alloy.
    """
    model, batch = ensemble.model, ensemble.batch(alloys)
    with seeded(seed):
        classes = weighted_classes(model, replace(batch, reports={}), _PARTICLES)
    share = torch.stack([c.evidence() for c in classes]).double().softmax(0).mean(1)
    heads = marginals(model, batch.without_labels())
    columns: dict[str, NDArray[Any]] = {}
    for target in ensemble.spec.targets:
        if isinstance(target, Continuous):
            continue
        name = target.name
        by_head = heads[name].probabilities().double().mean(0).cpu().numpy()
        value = torch.tensor([c.values[name] for c in classes]).to(share)
        columns[f"{name}_label"] = _labels(target, batch)
        for position, class_name in enumerate(target.classes):
            if isinstance(target, Binary):
                if not position:
                    continue
                suffix = ""
            else:
                suffix = f"[{class_name}]"
            found = ((value == position).to(share) @ share).cpu().numpy()
            head = by_head[:, position]
            columns[f"{name}_head{suffix}"] = head
            columns[f"{name}_model{suffix}"] = found
            columns[f"{name}_gap{suffix}"] = found - head
    return pd.DataFrame(columns, as_fractions(alloys).index)


def _labels(target: Binary | Categorical | Ordinal, batch: AlloyBatch) -> NDArray[Any]:
    """Labels of a target, classes by name, NaN where there is none."""
    values = np.full(len(batch), np.nan)
    if target.name in batch.targets:
        label = batch.targets[target.name].masked_fill(~batch.known(target.name), torch.nan)
        values = label.double().cpu().numpy()
    if isinstance(target, Binary):
        return values
    return np.array([np.nan if np.isnan(v) else target.classes[int(v)] for v in values], object)


def _possible(drawn: WeightedClass, batch: AlloyBatch) -> Tensor:
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
