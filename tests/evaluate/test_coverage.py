"""Quantiles of numbers and what they are worth, against closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.evaluate.coverage import (
    NOMINAL,
    QUANTILES,
    _continuous_only,
    _quantiles,
    quantile_scores,
)


def test_scores_of_a_normal_are_its_crps_and_its_intervals():
    rng = np.random.default_rng(0)
    y = rng.normal(size=20_000)
    quantiles = np.repeat(stats.norm.ppf(QUANTILES)[:, None], len(y), 1)
    scores = quantile_scores(y, quantiles).mean()
    # E |Y - Y'| / 2 of a standard normal; the levels beyond the outermost are left out
    assert scores["crps"] == pytest.approx(1 / np.sqrt(np.pi), abs=0.02)
    assert scores["error"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert scores["width"] == pytest.approx(2 * stats.norm.ppf(0.95))
    for nominal in NOMINAL:
        assert scores[str(nominal)] == pytest.approx(nominal, abs=0.01)


def test_numbers_are_those_of_the_spec_or_of_the_shipped_properties():
    spec = _continuous_only(ModelSpec(training={"members": 3}))
    assert spec.target_names == ("hardness", "yield_strength")
    assert spec.training.members == 3
    assert all(not t.given and list(t.conditions) for t in spec.targets)
    own = ModelSpec.shipped("properties")
    assert _continuous_only(own) == own


def test_quantiles_of_the_model_are_its_interval_bounds():
    tiny = {"hidden": [4]}
    spec = ModelSpec(
        latent={"dim": 2},
        head=tiny,
        encoder=tiny,
        decoder=tiny,
        training={"members": 2, "epochs": 1, "batch_size": 1024},
    )
    data = load_alloys(["zeng2024", "borg2020"])
    vae = DisentangledVAE(_continuous_only(spec)).fit(data, progress=False)
    some = data.take(range(20))
    quantiles = _quantiles(vae, some, ["hardness"])["hardness"]
    assert (np.diff(quantiles, axis=0) > 0).all()
    from pyro_hea.posterior import predict

    table = predict(vae.ensemble, some, interval=0.9)
    bounds = pd.DataFrame({"low": quantiles[1], "high": quantiles[-2]}, table.index)
    np.testing.assert_allclose(bounds["low"], table["hardness_low"], rtol=1e-5)
    np.testing.assert_allclose(bounds["high"], table["hardness_high"], rtol=1e-5)
