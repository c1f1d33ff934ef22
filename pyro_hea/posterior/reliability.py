"""Reliability of the sources of reports, and reports that are improbable."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.devices import seeded
from pyro_hea.errors import DataError, SpecError
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.posterior.marginals import marginals
from pyro_hea.posterior.predictions import INTERVAL
from pyro_hea.program.targets import GlobalLatents
from pyro_hea.spec import Binary, Categorical

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.program.sites import Reliability


@torch.no_grad()
def reliability(ensemble: Ensemble, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How often each source reports each class of a target, by the true class.

    Returns
    -------
    DataFrame
        A row for each `target`, `source` and true class (`true`), over members and draws of the
        guide: `right`, the mean probability that it reports that class, with `right_sd`,
        `right_low` and `right_high` (94 % interval); `says[class]`, the mean probability that it
        reports each class; `worth`, how many reports on alloys known to be of that class would
        tell as much, beyond the prior's counts.

    Raises
    ------
    SpecError
        Where no target declares `reports`.
    """
    rows = []
    with seeded(seed):
        for target in _targets_with_reports(ensemble):
            channel = _channel(ensemble, target.name)
            drawn = (
                _sample_reliability(channel, draws)[..., 0, :, :, :]
                .flatten(0, 1)
                .double()
                .cpu()
                .numpy()
            )
            worth = (channel.concentration - channel.prior).sum(-1).mean((0, 1)).cpu().numpy()
            for s, source in enumerate(ensemble.model.statistics.sources[target.name]):
                for c, name in enumerate(target.classes):
                    right = drawn[:, s, c, c]
                    low, high = np.quantile(right, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
                    row = {"target": target.name, "source": source, "true": name}
                    row |= {"right": right.mean(), "right_sd": right.std()}
                    row |= {"right_low": low, "right_high": high}
                    said = zip(target.classes, drawn[:, s, c].mean(0), strict=True)
                    row |= {f"says[{other}]": share for other, share in said}
                    rows.append(row | {"worth": float(worth[s, c])})
    return pd.DataFrame(rows)


@torch.no_grad()
def doubted_reports(
    ensemble: Ensemble,
    alloys: AlloyDataset,
    *,
    below: float = 0.5,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Reports whose class is improbable, given the features and all reports of the alloy.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : AlloyDataset
        Of the training elements, with the reports to be judged.
    below : float
        A report of a class less probable than this is doubted.
    draws : int
        Of the reliabilities, for each member.
    seed : int

    Returns
    -------
    DataFrame
        The least probable first: `formula`, `target`, `source`, the class `reported` and how often
        (`reports`), its `probability`, and the class `believed` with `believed_probability`.

    Raises
    ------
    SpecError
        Where no target declares `reports`.
    DataError
        Where the alloys carry no reports.
    """
    targets = _targets_with_reports(ensemble)
    if not isinstance(alloys, AlloyDataset):
        raise DataError("formulas carry no reports; give an AlloyDataset, such as load_alloys()")
    batch = ensemble.batch(alloys)
    parts = []
    for target in targets:
        probability = _class_probabilities(ensemble, target.name, batch, draws, seed)
        counts = batch.reports[target.name].cpu().numpy()
        doubted = (counts > 0) & (probability[:, None] < below)
        n, s, c = doubted.nonzero()
        classes, believed = np.array(target.classes), probability.argmax(1)
        parts.append(
            pd.DataFrame(
                {
                    "formula": np.array(alloys.formulas, dtype=object)[n],
                    "target": target.name,
                    "source": np.array(ensemble.model.statistics.sources[target.name])[s],
                    "reported": classes[c],
                    "reports": counts[n, s, c].astype(int),
                    "probability": probability[n, c],
                    "believed": classes[believed[n]],
                    "believed_probability": probability[n, believed[n]],
                }
            )
        )
    found = pd.concat(parts, ignore_index=True)
    return found.sort_values("probability", kind="stable", ignore_index=True)


def _class_probabilities(
    ensemble: Ensemble, name: str, batch: AlloyBatch, draws: int, seed: int
) -> np.ndarray:
    """Probability of each class by features and reports, mean over members and draws, (N, C)."""
    model = ensemble.model
    head = marginals(model, batch, [name])[name].probabilities().clamp_min(1e-30).log()
    total = torch.zeros_like(head[0], dtype=torch.float64)
    with seeded(seed):
        for shared in _sample_reliability(_channel(ensemble, name), draws):
            evidence = model.evidence(name, batch, GlobalLatents({}, {name: shared}))
            assert evidence is not None
            total += (head + evidence).softmax(-1).double().mean(0)
    return (total / draws).cpu().numpy()


def _targets_with_reports(ensemble: Ensemble) -> list[Binary | Categorical]:
    targets = [t for t in ensemble.spec.targets if isinstance(t, Binary | Categorical)]
    found = [target for target in targets if target.reports is not None]
    if not found:
        raise SpecError(
            "no target of this model takes its labels as reports. Declare `reports: {}` for a "
            "binary or categorical target, and fit again"
        )
    return found


def _channel(ensemble: Ensemble, name: str) -> Reliability:
    return cast("Reliability", ensemble.model.reliabilities[name])


def _sample_reliability(channel: Reliability, draws: int) -> Tensor:
    """Reliabilities from the guide, (draws, K, 1, S, C, C)."""
    cpu = torch.distributions.Dirichlet(channel.concentration.double().cpu())
    return cpu.sample(torch.Size([draws])).to(channel.concentration)
