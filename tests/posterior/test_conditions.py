"""Predictions at the conditions that are asked for."""

import numpy as np
import pandas as pd
import pytest
from at_conditions import FORMULAS

from pyro_hea import DisentangledVAE
from pyro_hea.errors import DataError, ExtrapolationWarning
from pyro_hea.posterior import predictions


@pytest.fixture
def vae(vae_at_conditions):
    return vae_at_conditions


def test_a_number_follows_its_condition_and_others_do_not(vae):
    table = vae.predict(FORMULAS[::7], conditions={"temperature_C": 800})
    cold = vae.predict(FORMULAS[::7])
    assert table.columns[0] == "temperature_C"
    assert (table["temperature_C"] == 800).all()
    ratio = (table["strength"] / cold["strength"]).mean()
    assert 0.4 < ratio < 0.65
    pd.testing.assert_series_equal(table["density"], cold["density"])


def test_the_declared_condition_gives_the_prediction_without_one(vae):
    table = vae.predict(FORMULAS[:5], conditions={"strain_rate": 0.001, "temperature_C": 25})
    assert table.columns[:2].tolist() == ["strain_rate", "temperature_C"]
    pd.testing.assert_frame_equal(table.iloc[:, 2:], vae.predict(FORMULAS[:5]))


def test_several_values_give_a_long_table_of_every_combination(vae):
    at = {"temperature_C": range(100, 801, 100), "strain_rate": [0.001]}
    table = vae.predict(["CoCrFeNi", "CoCr2FeNi"], conditions=at)
    assert len(table) == 2 * 8
    assert table.index.tolist() == ["CoCrFeNi", "CoCr2FeNi"] * 8
    one = table.loc["CoCrFeNi"]
    assert one["temperature_C"].tolist() == list(range(100, 801, 100))
    assert (one["strength"].diff().dropna() < 0).all()
    for value, row in one.set_index("temperature_C").iterrows():
        alone = vae.predict(["CoCrFeNi"], conditions={"temperature_C": value})
        assert row["strength"] == pytest.approx(alone["strength"].iloc[0])


def test_a_range_is_eleven_values_from_end_to_end(vae):
    table = vae.predict(["CoCrFeNi"], conditions={"temperature_C": (100, 800)})
    assert table["temperature_C"].tolist() == list(range(100, 801, 70))
    ends = vae.predict(["CoCrFeNi"], conditions={"temperature_C": [100, 800]})
    assert ends["temperature_C"].tolist() == [100, 800]


def test_a_condition_outside_the_measured_range_is_warned_of(vae, tmp_path):
    vae.save(tmp_path)
    expected = r"'strength' was measured at temperature_C from 25 to 800; what is predicted at 1200"
    for model in (vae, DisentangledVAE.load(tmp_path)):
        with pytest.warns(ExtrapolationWarning, match=expected):
            model.predict(["CoCrFeNi"], conditions={"temperature_C": [800, 1200]})


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"temprature_C": 800}, r"no target .* 'temprature_C'\. Did you mean 'temperature_C'\?"),
        ({"temperature_C": "hot"}, "temperature_C='hot' is neither a number nor a list of numbers"),
        ({"temperature_C": []}, "is neither a number nor a list"),
        ({"temperature_C": [20, -300]}, "temperature_C=-300 is below absolute zero, -273.15"),
        ({"temperature_C": [20, float("nan")]}, "is neither a number nor a list"),
    ],
)
def test_what_is_no_condition_is_refused(vae, conditions, message):
    with pytest.raises(DataError, match=message):
        vae.predict(["CoCrFeNi"], conditions=conditions)


def test_chunks_change_no_prediction(vae, monkeypatch):
    whole = vae.predict([*FORMULAS, "CoFe"], conditions={"temperature_C": [25, 800]})
    monkeypatch.setattr(predictions, "_ROWS", 14)
    parts = vae.predict([*FORMULAS, "CoFe"], conditions={"temperature_C": [25, 800]})
    # Standard deviations are roots of small differences, in single precision.
    columns = [c for c in whole if not c.endswith(("_sd", "_epistemic", "_aleatoric"))]
    pd.testing.assert_frame_equal(parts[columns], whole[columns], rtol=1e-5)
    assert np.isfinite(parts.to_numpy()).all()
