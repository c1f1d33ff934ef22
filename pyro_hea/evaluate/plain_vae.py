"""The library with the labels not in the model: a plain VAE, and a classifier beside it.

The encoder and the decoder are those of the spec, trained by the same loop on the same jittered
compositions, but every alloy has the same value of the only target: the program says nothing of
labels. There is no flow, whose purpose is to be conditional on them. A classifier then reads the
features joined with the latent means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_hea.devices import choose_device, seeded
from pyro_hea.evaluate.baselines import fit_predict
from pyro_hea.inference import Trainer
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset

PLAIN_VAE = "plain_vae"
"""Its name among the baselines."""

CLASSIFIER = "mlp_ensemble"
"""The baseline that reads features and latent."""

_TARGET = "constant"
_HELD_OUT = 0.1
"""Share of the alloys that decides when to stop."""


def plain_vae_predict(
    train: AlloyDataset,
    test: AlloyDataset,
    target: str,
    spec: ModelSpec,
    seed: int,
    device: str = "auto",
) -> NDArray[np.float64]:
    """Probability of 1 for the test alloys, (M,).

    Parameters
    ----------
    train : AlloyDataset
        The VAE learns from all compositions, the classifier from those with a label.
    test : AlloyDataset
    target : str
    spec : ModelSpec
        Its encoder, decoder, latent and training are taken.
    seed : int
    device : str
    """
    model = _fit(train.fractions, spec, seed, device)
    known = train.labels[target].notna().to_numpy()
    inputs = [
        np.hstack([alloys.features.to_numpy(), _latent(model, alloys.fractions)])
        for alloys in (train.take(known), test)
    ]
    labels = train.labels[target][known].to_numpy()
    return fit_predict(CLASSIFIER, inputs[0], labels, inputs[1], seed)


def _fit(fractions: pd.DataFrame, spec: ModelSpec, seed: int, device: str) -> AlloyModel:
    plain = _without_labels(spec)
    held = np.random.default_rng(seed).permutation(len(fractions)) < _HELD_OUT * len(fractions)
    with seeded(seed):
        model = AlloyModel(
            plain, fractions.shape[1], Statistics.of_features(torch.zeros(1, 1), None)
        )
    model.to(choose_device(device))
    data, validation = _batch(model, fractions[~held]), _batch(model, fractions[held])
    trainer = Trainer(model, data, validation, seed)
    for _ in trainer.epochs():
        pass
    trainer.keep_best()
    return model


def _without_labels(spec: ModelSpec) -> ModelSpec:
    """One member whose head learns nothing and whose target is the same for all alloys."""
    given = spec.to_mapping()
    idle = {"members": 1, "label_weight": 0.0, "mixup": 0.0, "head_weight_decay": 0.0}
    return ModelSpec.from_mapping(
        {
            "targets": {_TARGET: {}},
            "latent": given["latent"] | {"flow": None},
            "likelihood": given["likelihood"],
            "head": {"hidden": [1]},
            "encoder": given["encoder"],
            "decoder": given["decoder"],
            "training": given["training"] | idle,
        }
    )


def _batch(model: AlloyModel, fractions: pd.DataFrame) -> AlloyBatch:
    device = model.embedding.edges.device
    x = torch.tensor(fractions.to_numpy(), dtype=torch.float32, device=device)
    nothing = torch.zeros(len(x), device=device)
    return AlloyBatch(x, nothing[:, None], {_TARGET: nothing}, {})


@torch.no_grad()
def _latent(model: AlloyModel, fractions: pd.DataFrame) -> NDArray[np.float64]:
    batch = _batch(model, fractions)
    z = model.latent_mean(batch.composition, dict(batch.targets))[0]
    return np.asarray(z.double().cpu())
