"""Predictions at the conditions that are asked for."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError, ExtrapolationWarning
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.posterior import predictions

FORMULAS = [f"Co{a}Cr{b}Fe{10 - a}Ni{10 - b}" for a in range(1, 9) for b in range(1, 9)]
SPEC = {
    "targets": {
        "strength": {
            "kind": "continuous",
            "unit": "MPa",
            "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.7},
            "conditions": {"temperature_C": 25, "strain_rate": 0.001},
        },
        "density": {
            "kind": "continuous",
            "unit": "g/cm3",
            "prior": {"dist": "Normal", "loc": 2.0, "scale": 0.5},
        },
    },
    "latent": {"dim": 2},
    "head": {"hidden": [16]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {"members": 2, "epochs": 250, "batch_size": 16, "patience": 1000},
}


@pytest.fixture(scope="module")
def vae() -> DisentangledVAE:
    """Strength falls by half from 25 to 800 °C; density is measured at no condition."""
    fractions = fraction_table(FORMULAS)
    rows = [
        {
            "formula": formula,
            "target": "strength",
            "value": (300 + 500 * cr) * (1 - 0.5 * (at - 25) / 775),
            "temperature_C": at,
            "strain_rate": 0.001,
        }
        for formula, cr in zip(fractions.index, fractions["Cr"], strict=True)
        for at in (25.0, 400.0, 800.0)
    ]
    density = {"formula": fractions.index, "target": "density", "value": 7 + fractions["Co"]}
    reports = pd.concat([pd.DataFrame(rows), pd.DataFrame(density)])
    data = AlloyDataset.from_reports(fractions, reports, ["strength", "density"])
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(data, seed=0, progress=False)


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
