"""Log predictive densities of held-out labels and compositions."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import torch
from pyro import poutine

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.materials.alloys.dataset import encode_values
from pyro_hea.posterior import marginals
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.psis import psis
from pyro_hea.posterior.traces import COMPOSITION, vectorized
from pyro_hea.spec import Hurdle

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.program.model import AlloyModel

_PARTS, _DEGREES = 3, 6.0
"""Of the proposal: guide, fitted t-distribution with so many degrees of freedom, and prior."""

_ROWS = 25_000
"""Draws scored at a time, over members and alloys: what stays in a processor's cache."""


def label_density(ensemble: Ensemble, alloys: AlloyDataset, target: str) -> pd.Series:
    """Log of the ensemble's q(y | φ) at the labels that alloys have, by formula, in nats.

    Of a number the density per unit of the target, at the conditions of its measurement.
    """
    alloys = alloys.take(alloys.labels[target].notna().to_numpy())
    labels = encode_values(alloys.labels[target], ensemble.spec.target(target))
    if labels.empty:
        return labels
    batch = ensemble.batch(alloys)
    y = batch.features.new_tensor(labels.to_numpy(float))
    branches = marginals(ensemble.model, batch, [target])[target].log_prob(y)
    density = branches.logsumexp((0, 1)) - np.log(ensemble.members)
    return pd.Series(density.double().cpu().numpy(), labels.index)


def composition_density(
    ensemble: Ensemble, alloys: AlloyDataset, draws: int, seed: int
) -> pd.DataFrame:
    """Log p(x) of alloys whose labels are not shown, by formula; see `compare_specs`.

    Returns
    -------
    DataFrame
        `density`, in nats, and `k_hat` of the weights behind it.
    """
    model, batch = _counted_once(ensemble.model), ensemble.batch(alloys, labels=False)
    each = -(-draws // _PARTS)
    step = max(1, _ROWS // (_PARTS * model.members * len(batch)))
    with seeded(seed), unvalidated(), model.cached_flow():
        local = _fitted(model, batch, ensemble.most_probable(batch))
        log_weight = torch.cat(
            [_weighed(model, batch, local, min(step, each - at)) for at in range(0, each, step)]
        ).flatten(0, 1)  # the members too are a mixture with equal shares
    density = log_weight.logsumexp(0) - np.log(len(log_weight))
    with np.errstate(over="ignore"):  # of a share that is then 0
        k_hat = psis(log_weight.cpu().numpy())[1]
    columns = {"density": density.cpu().numpy(), "k_hat": k_hat}
    return pd.DataFrame(columns, alloys.fractions.index)


def _fitted(model: AlloyModel, batch: AlloyBatch, targets: Mapping[str, Tensor]) -> Any:
    """A distribution (K, N) of w, what the decoder sees, fitted to each alloy at given targets."""
    with torch.no_grad():
        guide = _sites(poutine.trace(model.guide).get_trace(batch))
    drawn = {name: site["value"] for name, site in guide.items()}
    shared = {name: v for name, v in drawn.items() if name not in (*targets, "z")}
    steady: Any = copy(model)  # what all alloys share is drawn once, or heights would not compare
    steady.model = poutine.condition(model.model, data=shared)
    local = LocalPosterior.fitted(steady, replace(batch, targets=dict(targets)))
    covariance = (local.root @ local.root.mT).double()
    root = torch.linalg.cholesky(covariance).to(local.loc)
    return dist.MultivariateStudentT(_DEGREES, local.loc, root)


@torch.no_grad()
def _weighed(model: AlloyModel, batch: AlloyBatch, local: Any, each: int) -> Tensor:
    """Log p(x, y, z) - log r(y, z), (S, K, N), of so many draws of each part of the proposal r.

    What all alloys share is drawn from the guide as the posterior that it stands for, and not
    weighed: it was learnt from other alloys.
    """
    targets = model.spec.target_names
    guide = _sites(poutine.trace(vectorized(model.guide, 2 * each)).get_trace(batch))
    drawn = {name: site["value"] for name, site in guide.items()}
    from_local = _over_z(local, guide["z"]["fn"]).sample()
    drawn["z"] = torch.cat([drawn["z"][:each], from_local[each:]])
    shared = {name: v[:each] for name, v in drawn.items() if name not in (*targets, "z")}
    program = poutine.condition(vectorized(model.model, each), data=shared)
    prior = _sites(poutine.trace(program).get_trace(batch))
    values = {name: torch.cat([v, prior[name]["value"]]) for name, v in drawn.items()}

    def scored(part: Any) -> dict[str, Any]:
        program = poutine.condition(vectorized(part, _PARTS * each), data=values)
        return _sites(poutine.trace(program).get_trace(batch))

    p, q = scored(model.model), scored(model.guide)
    of_prior = sum(_log_prob(p[name]) for name in (*targets, "z"))
    of_targets = sum(_log_prob(q[name]) for name in targets)
    of_local = _over_z(local, q["z"]["fn"]).log_prob(values["z"]).double() + of_targets
    of_guide = _log_prob(q["z"]) + of_targets
    parts = torch.broadcast_tensors(of_guide, of_local, of_prior)
    proposal = torch.stack(parts).logsumexp(0) - np.log(_PARTS)
    weight: Tensor = of_prior + _log_prob(p[COMPOSITION]) - proposal
    return weight.expand(len(values["z"]), model.members, len(batch))


def _over_z(local: Any, q: Any) -> Any:
    """A distribution of w taken to z as the guide's is, by the flow where there is one."""
    base = local.expand(q.batch_shape)
    if isinstance(q, dist.TransformedDistribution):
        return dist.TransformedDistribution(base, q.transforms)
    return base


def _sites(trace: Any) -> dict[str, Any]:
    """What a program drew or observed; plates are left out."""
    samples = {n: node for n, node in trace.nodes.items() if node["type"] == "sample"}
    return {n: site for n, site in samples.items() if type(site["fn"]).__name__ != "_Subsample"}


def _log_prob(site: dict[str, Any]) -> Any:
    return site["fn"].log_prob(site["value"]).double()


def _counted_once(model: AlloyModel) -> AlloyModel:
    """The same model with a likelihood that is a probability; its weights are shared."""
    if not isinstance(model.spec.likelihood, Hurdle):
        return model
    model = copy(model)
    model.spec = model.spec.with_(likelihood__presence_count=1)
    return model
