"""The declared priors as a table of densities and probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.devices import seeded
from pyro_hea.spec import Binary, Categorical, Continuous, Ordinal, Prior
from pyro_hea.spec.distributions import support_name

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.program.sites import Expert
    from pyro_hea.spec import Target

    Floats = NDArray[np.float64]

_DRAWS, _POINTS, _BINS = 4001, 201, 20
_TAIL = 0.005
"""Probability beyond either end of a density's range."""


def prior_table(ensemble: Ensemble, seed: int = 0) -> pd.DataFrame:
    """Density of each declared prior over its support, where no other target is known.

    Parameters
    ----------
    ensemble : Ensemble
        Trained or not; its `known` alloys are those whose features an expert's prior reads.
    seed : int
        Of the draws behind ranges, and behind priors that have no density to write down.

    Returns
    -------
    DataFrame
        Columns `site`; `what`, its value with the unit; `support`; `kind`: "density" (per unit of
        the value), "mass" (of a class, whose name is `label`) or "share" (of the alloys, by the
        probability of 1 that an expert's prior gives them, in bins); `value`, `label`, `density`.
        A learnt prior of z is told by draws of the first coordinate in the first member.
    """
    with torch.no_grad(), seeded(seed):
        parts = [
            *(part for t in ensemble.model.targets for part in _target(ensemble, t)),
            _latent(ensemble),
        ]
    return pd.concat(parts, ignore_index=True)


def _target(ensemble: Ensemble, target: Target) -> Iterator[pd.DataFrame]:
    site: Any = ensemble.model.site(target.name)
    name = target.name
    if isinstance(target, Continuous):
        unit = target.unit or "no unit"
        drawn = site.prior(None, {})
        support = "positive" if target.positive else support_name(target.known_prior.support)
        yield _density(drawn, name, f"{name} ({unit})", support)
    elif isinstance(target, Ordinal | Categorical):
        yield _masses(name, target.classes, site.prior_logits.exp())
    elif isinstance(target.prior, Prior):
        one = site.prior_logit.sigmoid()
        yield _masses(name, target.classes, torch.stack([1 - one, one]))
    else:
        yield from _expert(ensemble, name)
    if isinstance(target, Binary | Categorical) and target.reports is not None:
        from scipy.stats import beta  # takes long to import

        share = np.linspace(0, 1, _POINTS)[1:-1]
        for source in ensemble.model.statistics.sources[name]:
            counts = target.reports.of(source)
            what = f"right reports of {name}, {source} (share)"
            right = beta(counts.right, counts.wrong).pdf(share)
            yield _rows(f"{name}_reliability", what, "unit-interval", "density", share, right)


def _expert(ensemble: Ensemble, name: str) -> Iterator[pd.DataFrame]:
    """The coefficients, and what they make of the alloys: one draw of them an alloy."""
    expert = cast("Expert", ensemble.model.experts[name])
    drawn = None
    if expert.coefficients:
        for feature, prior in expert.coefficients.items():
            site, support = f"{name}_{feature}", support_name(prior.support)
            what = f"{feature}, log odds of {name} per sd"
            what = f"log odds of {name} at the mean" if feature == "intercept" else what
            yield _density(prior.distribution(), site, what, support)
        alloys = torch.Size([1, len(ensemble.known)])
        columns = [p.distribution().sample(alloys) for p in expert.coefficients.values()]
        drawn = torch.stack(columns, -1).to(ensemble.device)
    features = ensemble.batch(ensemble.known).features
    probability = expert.log_odds(features, drawn).sigmoid().flatten().cpu().numpy()
    counts, edges = np.histogram(probability, _BINS, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    what = f"probability that {name} is 1, over {len(probability)} alloys"
    yield _rows(name, what, "unit-interval", "share", centres, counts / counts.sum())


def _latent(ensemble: Ensemble) -> pd.DataFrame:
    declared = ensemble.spec.latent.prior
    if isinstance(declared, Prior):
        what = f"each of {ensemble.spec.latent.dim} coordinates of z (no unit)"
        return _density(declared.distribution(), "z", what, support_name(declared.support))
    prior = ensemble.model.latent_prior().expand([ensemble.members, 1])
    from scipy.stats import gaussian_kde

    z = prior.sample(torch.Size([_DRAWS]))[:, 0, 0, 0].cpu().numpy()
    at = _between(z)
    return _rows("z", "z0 of member 0 (no unit)", "real", "density", at, gaussian_kde(z)(at))


def _density(distribution: Any, site: str, what: str, support: str) -> pd.DataFrame:
    drawn: Tensor = distribution.sample(torch.Size([_DRAWS]))
    at = _between(drawn.double().cpu().numpy())
    density: Tensor = distribution.log_prob(drawn.new_tensor(at)).exp()
    return _rows(site, what, support, "density", at, density.double().cpu().numpy())


def _between(drawn: Floats) -> Floats:
    """Points over the range of all but the outermost draws."""
    low, high = np.quantile(drawn, (_TAIL, 1 - _TAIL))
    return np.linspace(low, high, _POINTS)


def _masses(site: str, classes: tuple[str, ...], probabilities: Tensor) -> pd.DataFrame:
    values, masses = np.arange(len(classes), dtype=float), probabilities.double().cpu().numpy()
    rows = _rows(site, f"{site} (class)", ", ".join(classes), "mass", values, masses)
    return rows.assign(label=list(classes))


def _rows(
    site: str, what: str, support: str, kind: str, value: Floats, density: Floats
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "site": site,
            "what": what,
            "support": support,
            "kind": kind,
            "value": value,
            "label": "",
            "density": density,
        }
    )
