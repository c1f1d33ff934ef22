"""The baseline without labels in the model."""

import numpy as np
import pytest
import torch

from pyro_hea import ModelSpec, load_alloys
from pyro_hea.evaluate import plain_vae

SPEC = ModelSpec(
    latent={"dim": 4},
    encoder={"hidden": [32]},
    decoder={"hidden": [32]},
    training={"members": 4, "epochs": 30, "batch_size": 32},
)


@pytest.fixture(scope="module")
def alloys():
    return load_alloys("zeng2024").take(slice(0, 1368, 3))


def test_its_latent_says_nothing_of_a_label_but_keeps_the_composition(alloys):
    model = plain_vae._fit(alloys.fractions, SPEC, 0, "cpu")
    assert model.members == 1
    assert model.flow is None
    batch = plain_vae._batch(model, alloys.fractions)
    with torch.no_grad():
        z = model.latent_mean(batch.composition, dict(batch.targets))
        made = model.likelihood(z, dict(batch.targets)).mean[0].double().numpy()
    error = np.abs(made - alloys.fractions.to_numpy()).mean()
    constant = np.abs(alloys.fractions - alloys.fractions.mean()).to_numpy().mean()
    assert error < 0.6 * constant


def test_labels_never_reach_the_vae(alloys, monkeypatch):
    """With other labels the classifier is another one, on the same latent."""
    seen = []

    def spy(name, x_train, y_train, x_test, seed):
        seen.append((x_train, y_train, x_test))
        return np.zeros(len(x_test))

    monkeypatch.setattr(plain_vae, "fit_predict", spy)
    train, test = alloys.take(slice(0, 300)), alloys.take(slice(300, 400))
    turned = type(train)(train.fractions, 1 - train.labels, train.reports, train.parts)
    short = SPEC.model_copy(update={"training": SPEC.training.model_copy(update={"epochs": 2})})
    for part in (train, turned):
        plain_vae.plain_vae_predict(part, test, "single_phase", short, 0, "cpu")
    (x, y, new), (x_turned, y_turned, new_turned) = seen
    assert (x == x_turned).all()
    assert (new == new_turned).all()
    assert (y == 1 - y_turned).all()
    assert x.shape == (len(y), train.features.shape[1] + 4)
