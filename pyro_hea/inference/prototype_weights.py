"""Weights of the prototypes in the prior of z_structure, learnt from a forest before the rest.

A network that is fitted to the crystals alone tells the prototype of a new chemical system less
well than a forest does. One that learns the forest's probabilities of many formulas is as good,
and reads the targets as well (model compression: Bucila, Caruana and Niculescu-Mizil, KDD 2006).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor
from tqdm.auto import tqdm

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle

if TYPE_CHECKING:
    from pyro_hea.program.crystal_batch import CrystalInputs
    from pyro_hea.program.crystals import CrystalModel
    from pyro_hea.program.targets import Values
    from pyro_hea.spec.crystals import PrototypeMixture

_LEARNING_RATE, _WEIGHT_DECAY, _CLIP_NORM = 2e-3, 0.01, 5.0
_BATCH = 256
"""Crystals, and as many formulas, of a step."""

_OF_CRYSTALS = 0.5
"""Weight of a crystal beside a formula."""

_OFTEN = 4
"""Crystals of a prototype that the forest knows."""


class Compositions(NamedTuple):
    """Crystals or formulas, with the values of the targets that the weights read."""

    inputs: CrystalInputs
    y: Values


def train_prototype_weights(
    model: CrystalModel,
    prior: PrototypeMixture,
    crystals: Compositions,
    formulas: Compositions,
    *,
    seed: int,
    progress: bool,
) -> None:
    """Train the network `model.weights`; the rest of the model stays as it is.

    Parameters
    ----------
    model : CrystalModel
    prior : PrototypeMixture
        Of the spec.
    crystals, formulas : Compositions
        Training crystals, and formulas without a structure.
    seed : int
        The global random state is left as it was found.
    progress : bool
        Show a progress bar.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite.
    """
    prototype = crystals.inputs.prototype
    classes, probabilities = _forest(model, prior.trees, crystals.inputs, formulas.inputs, seed)
    known = (prototype >= 0).nonzero()[:, 0]
    told = (probabilities.sum(1) > 0).nonzero()[:, 0]
    parameters = [*model.weights.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=_WEIGHT_DECAY, fused=True)
    total = torch.zeros((), device=prototype.device)
    statistics = [model.statistics_of(part.inputs.composition) for part in (crystals, formulas)]

    def log_weights(part: int, rows: Tensor) -> Tensor:
        inputs, y = (crystals, formulas)[part]
        some = {name: value[..., rows] for name, value in y.items()}
        return model.log_weights_of(statistics[part][rows], some, inputs.formula_type[rows])

    with seeded(seed):
        model.train()
        for step in tqdm(range(prior.steps), desc="prototypes", disable=not progress):
            optimizer.param_groups[0]["lr"] = _LEARNING_RATE * one_cycle(step / prior.steps)
            rows = known[torch.randint(len(known), (_BATCH,)).to(known)]
            found = log_weights(0, rows)
            own = prototype[rows].expand(found.shape[:-1]).unsqueeze(-1)
            loss = -_OF_CRYSTALS * found.gather(-1, own).mean((1, 2)).sum()
            if len(told):
                rows = told[torch.randint(len(told), (_BATCH,)).to(told)]
                found = log_weights(1, rows)[..., classes]
                loss = loss - (probabilities[rows] * found).sum(-1).mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            clip_member_gradients(parameters, _CLIP_NORM)
            optimizer.step()
            total += loss.detach()
        model.eval()
    optimizer.zero_grad()
    if not math.isfinite(float(total)):
        raise TrainingDivergedError("the weights of the prototypes diverged: set a lower dropout")


def _forest(
    model: CrystalModel, trees: int, crystals: CrystalInputs, formulas: CrystalInputs, seed: int
) -> tuple[Tensor, Tensor]:
    """Frequent prototypes (C,), and the probability of each by formula, (N, C).

    It is among the prototypes of the formula type, and 0 where none of these is frequent.
    """
    of_composition = model.tables.features[0]
    own, new = (batch.features[:, :of_composition].cpu().numpy() for batch in (crystals, formulas))
    prototype = crystals.prototype.cpu().numpy()
    number = np.bincount(prototype[prototype >= 0], minlength=len(model.tables.prototype_type))
    often = (prototype >= 0) & (number[prototype] >= _OFTEN)
    like = crystals.features
    if not often.any():
        empty = torch.empty(0, dtype=torch.int64, device=like.device)
        return empty, like.new_zeros(len(new), 0)
    forest = ExtraTreesClassifier(trees, max_features=0.3, random_state=seed)
    forest.fit(own[often], prototype[often])
    classes = torch.tensor(forest.classes_, device=like.device)
    found = torch.tensor(forest.predict_proba(new)).to(like)
    of_type = model.get_buffer("table_prototype_type")[classes]
    found = found.masked_fill(of_type != formulas.formula_type.unsqueeze(-1), 0.0)
    return classes, found / found.sum(1, keepdim=True).clamp_min(1e-6)
