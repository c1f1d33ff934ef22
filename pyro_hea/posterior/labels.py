"""Labels beside draws: what is observed of targets, what the heads predict of it, and how probably.

A target with labels has them over a dimension of its own, `<target>_alloy`, which holds the alloys
that have one: ArviZ pairs observed data, predictive draws and log likelihoods by name and shape,
and takes no missing values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.posterior.marginals import marginals
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.spec import ModelSpec


def labelled_rows(batch: AlloyBatch) -> dict[str, Tensor]:
    """Rows of the alloys that have a label, of each target that has any."""
    rows = {name: batch.known(name).nonzero()[:, 0] for name in batch.targets}
    return {name: found for name, found in rows.items() if len(found)}


def label_dims(spec: ModelSpec) -> dict[str, list[str]]:
    """Dimensions of labels after `chain` and `draw`, by target."""
    return {name: [f"{name}_alloy"] for name in spec.target_names}


def probability_dims(spec: ModelSpec) -> dict[str, list[str]]:
    """Dimensions of the probabilities of classes after `chain` and `draw`, by their names."""
    classes = [t for t in spec.targets if not isinstance(t, Continuous)]
    return {
        f"{t.name}_probability": ["alloy", *([] if isinstance(t, Binary) else [f"{t.name}_class"])]
        for t in classes
    }


def label_coords(
    spec: ModelSpec, batch: AlloyBatch, formulas: Sequence[str]
) -> dict[str, list[str]]:
    """Coordinates of the dimensions that labels and probabilities have."""
    coords = {
        f"{name}_alloy": [formulas[row] for row in rows.tolist()]
        for name, rows in labelled_rows(batch).items()
    }
    for target in spec.targets:
        if not isinstance(target, Binary | Continuous):
            coords[f"{target.name}_class"] = list(target.classes)
    return coords


def observed_labels(model: AlloyModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Labels by target, (n,): classes by position, as integers."""
    rows = labelled_rows(batch)
    return {name: _as_label(model, name, batch.targets[name][at]) for name, at in rows.items()}


@torch.no_grad()
def probabilities(
    model: AlloyModel, batch: AlloyBatch, y: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Probability of each class by the heads where their parents are as drawn.

    Parameters
    ----------
    model : AlloyModel
    batch : AlloyBatch
    y : mapping of target to Tensor of shape (S, K, N)
        Draws of every target.

    Returns
    -------
    dict of str to Tensor
        `<target>_probability`, (S, K, N) of 1 for a binary target, else (S, K, N, C): what a
        label is drawn with where it is not known.
    """
    read, unlabelled = model.head_inputs(batch), batch.replaced(targets={}, labelled={})
    found = {}
    for target in model.targets:
        site = model.site(target.name)
        if isinstance(site, ContinuousSite):
            continue
        outputs = model.head(target.name, read, model.given(target.name, y, batch))
        log_q, evidence = site.log_classes(outputs, y), model.evidence(target.name, unlabelled)
        of_class = (log_q if evidence is None else log_q + evidence).softmax(-1)
        of_class = of_class.expand(*y[target.name].shape, -1)
        name = f"{target.name}_probability"
        found[name] = of_class[..., 1] if isinstance(target, Binary) else of_class
    return found


@torch.no_grad()
def predictive_labels(model: AlloyModel, batch: AlloyBatch, draws: int) -> dict[str, Tensor]:
    """Draws of labels from the heads, (S, K, n), of each target that has labels.

    No label is used. Draws from torch's global generator.
    """
    rows, read = labelled_rows(batch), model.head_inputs(batch)
    y: dict[str, Tensor] = {}
    for target in model.targets if rows else ():
        outputs = model.head(target.name, read, model.given(target.name, y, batch))
        outputs = outputs.expand(draws, model.members, len(batch), -1)
        y[target.name] = model.site(target.name).posterior(outputs, y).sample()
    return {name: _as_label(model, name, y[name][..., at]) for name, at in rows.items()}


@torch.no_grad()
def label_log_likelihood(model: AlloyModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Log q(y | features) of the labels in each member, (K, n), in nats.

    Of a number the density per unit of the target. Other targets are summed out.
    """
    found = {}
    for name, at in labelled_rows(batch).items():
        labelled = batch.take(at)
        marginal = marginals(model, labelled, [name])[name]
        found[name] = marginal.log_prob(labelled.targets[name]).logsumexp(0)
    return found


def _as_label(model: AlloyModel, name: str, value: Tensor) -> Tensor:
    return value if isinstance(model.site(name), ContinuousSite) else value.long()
