"""Explanations of targets that are no binary ones."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea import AlloyDataset, DisentangledVAE
from pyro_hea.errors import DataError
from pyro_hea.explain import attribute, compare_rules, distil, element_moves, path, traverse

CLASSES = ["fcc", "bcc", "several"]
QUESTIONS = [("phase", c, f"phase[{c}]") for c in CLASSES] + [("hardness", None, "hardness")]
ALLOY = {"Al": 0.12, "Co": 0.23, "Cr": 0.27, "Ni": 0.38}


@pytest.fixture(scope="module")
def attributions(vae_of_kinds, alloys_of_kinds):
    some, background = (alloys_of_kinds.take(slice(*rows)) for rows in ((0, 2), (2, 12)))
    return {
        column: attribute(vae_of_kinds, some, target, value=value, background=background)
        for target, value, column in QUESTIONS
    }


@pytest.fixture(scope="module")
def moves(vae_of_kinds):
    return {
        column: element_moves(vae_of_kinds, ALLOY, target, ["Al", "Co", "W"], value=value)
        for target, value, column in QUESTIONS
    }


@pytest.mark.parametrize(("target", "value", "column"), QUESTIONS)
def test_attributions_add_up_to_what_is_predicted(
    attributions, vae_of_kinds, alloys_of_kinds, target, value, column
):
    pytest.importorskip("shap")
    found = attributions[column]
    assert (found.target, found.unit) == (column, "HV" if value is None else "probability")
    predicted = vae_of_kinds.predict(alloys_of_kinds.take(slice(0, 2)))[column]
    np.testing.assert_allclose(found.prediction.mean("member"), predicted, rtol=1e-5, atol=1e-6)


def test_what_raises_one_class_lowers_the_others(attributions, moves):
    values = [attributions[f"phase[{c}]"].values for c in CLASSES]
    np.testing.assert_allclose(sum(values), 0, atol=1e-6)
    slopes = [moves[f"phase[{c}]"]["mean"] for c in CLASSES]
    np.testing.assert_allclose(sum(slopes), 0, atol=1e-9)
    assert np.abs(slopes).max() > 1e-4


@pytest.mark.parametrize("column", ["phase[fcc]", "hardness"])
def test_derivatives_agree_with_finite_differences(vae_of_kinds, moves, column):
    slope = moves[column].loc[("Al12Co23Cr27Ni38", "Cr", "Co")]
    near, h = ALLOY | {"Cr": 0.27 - 1e-3, "Co": 0.23 + 1e-3}, 5e-5
    ends = [near | {"Cr": near["Cr"] - s * h, "Co": near["Co"] + s * h} for s in (1, -1)]
    up, down = vae_of_kinds.predict(ends)[column]
    assert slope["kind"] == "derivative"
    scale = 100 if column == "hardness" else 1  # HV, in single precision
    assert slope["mean"] == pytest.approx((up - down) / (200 * h), abs=1e-3 * scale)


def test_traversals_decode_with_what_is_predicted_of_each_target(vae_of_kinds, alloys_of_kinds):
    start, end = alloys_of_kinds.formulas[:2]
    found = path(vae_of_kinds, start, end, steps=3)
    assert set(found.predictions) >= {"phase", "phase[fcc]", "hardness_low"}
    assert len(traverse(vae_of_kinds, start, "z0", positions=[-1, 1]).fractions) == 2

    guess = vae_of_kinds.ensemble.most_probable(vae_of_kinds.ensemble.batch([start, end]))
    y = {name: float(value[0].mean()) for name, value in guess.items()}
    # the classes of the nearer end, which in the middle is the last one, and the mean of numbers
    y |= {name: float(guess[name][0, 1]) for name in ("single_phase", "phase")}
    raw = vae_of_kinds.decode(found.z.iloc[[1]], y).iloc[0]
    kept = raw.where(raw >= 0.01, 0)
    np.testing.assert_allclose(found.fractions.iloc[1], kept / kept.sum(), atol=1e-3)


def test_rules_tell_a_phase_from_the_others(vae_of_kinds, alloys_of_kinds):
    rules = distil(vae_of_kinds, alloys_of_kinds, "phase", value="several")
    assert "phase[several] = 1" in str(rules)
    table = compare_rules(vae_of_kinds, alloys_of_kinds, rules)
    told = alloys_of_kinds.labels["phase"] == "several"
    assert table.loc["always 1", "accuracy"] == told.mean()
    assert list(table.index) == ["the head", "distilled tree", "always 1"]


def test_a_phase_is_set_beside_the_fields_threshold(vae_of_kinds, alloys_of_kinds):
    rules = distil(vae_of_kinds, alloys_of_kinds, "phase", value="several")
    table = compare_rules(vae_of_kinds, alloys_of_kinds, replace(rules, value="fcc"))
    vec = alloys_of_kinds.features["valence_electron_concentration"]
    told = alloys_of_kinds.labels["phase"] == "fcc"
    assert table.loc["VEC ≥ 8", "accuracy"] == ((vec >= 8) == told).mean()
    bcc = compare_rules(vae_of_kinds, alloys_of_kinds, replace(rules, value="bcc"))
    assert bcc.loc["VEC < 6.87", "called"] == (vec < 6.87).mean()


def test_what_cannot_be_explained_is_said(vae_of_kinds, alloys_of_kinds):
    some = alloys_of_kinds.take(slice(0, 2))
    with pytest.raises(DataError, match="value=None is no class of 'phase'"):
        element_moves(vae_of_kinds, some, "phase")
    with pytest.raises(DataError, match="value='hcp' is no class of 'phase'"):
        element_moves(vae_of_kinds, some, "phase", value="hcp")
    with pytest.raises(DataError, match="'hardness' is a number, whose median is explained"):
        element_moves(vae_of_kinds, some, "hardness", value="1")
    with pytest.raises(DataError, match="of 'single_phase' the probability of 1"):
        element_moves(vae_of_kinds, some, value="0")
    with pytest.raises(DataError, match="'hardness' is a number; rules tell classes"):
        distil(vae_of_kinds, alloys_of_kinds, "hardness")


@pytest.fixture(scope="module")
def vae_of_the_rest(alloys):
    """An expert's prior under reports that may be wrong, levels, and a number without bounds."""
    single = alloys.labels["single_phase"]
    light = alloys.fractions["Al"]
    rating = pd.cut(light, [-1, 0.05, 0.2, 1], labels=["poor", "fair", "good"]).astype(str)
    reports = pd.concat(
        pd.DataFrame({"formula": c.index, "target": n, "value": c.to_numpy(), "source": s})
        for n, s, c in (
            ("single_phase", "ann", single),
            ("single_phase", "bob", single.iloc[10:50]),
            ("rating", "ann", rating),
            ("misfit", "ann", 10 * light - 1),
        )
    )
    names = ["single_phase", "rating", "misfit"]
    normal = {"dist": "Normal", "loc": 0.0, "scale": 5.0}
    expert = {"logistic": {"mixing_enthalpy": 0.5}}
    targets = {
        "single_phase": {"prior": expert, "reports": {}},
        "rating": {"kind": "ordinal", "levels": ["poor", "fair", "good"], "given": "single_phase"},
        "misfit": {
            "kind": "continuous",
            "positive": False,
            "transform": "identity",
            "prior": normal,
        },
    }
    spec = small_spec(targets=targets, training__epochs=5, training__batch_size=32)
    data = AlloyDataset.from_reports(alloys.fractions, reports, names)
    return DisentangledVAE(spec).fit(data, seed=0, progress=False)


@pytest.mark.parametrize(
    ("target", "value", "column"),
    [
        ("single_phase", None, "single_phase"),
        ("rating", "good", "rating[good]"),
        ("misfit", None, "misfit"),
    ],
)
def test_experts_levels_and_unbounded_numbers_are_explained_too(
    vae_of_the_rest, alloys, target, value, column
):
    pytest.importorskip("shap")
    some, background = alloys.take(slice(0, 2)), alloys.take(slice(2, 8))
    found = attribute(vae_of_the_rest, some, target, value=value, background=background)
    predicted = vae_of_the_rest.predict(some)[column]
    np.testing.assert_allclose(found.prediction.mean("member"), predicted, rtol=1e-5, atol=1e-6)

    slope = element_moves(vae_of_the_rest, ALLOY, target, ["Co"], value=value)
    near, h = ALLOY | {"Cr": 0.27 - 1e-3, "Co": 0.23 + 1e-3}, 5e-5
    ends = [near | {"Cr": near["Cr"] - s * h, "Co": near["Co"] + s * h} for s in (1, -1)]
    up, down = vae_of_the_rest.predict(ends)[column]
    expected = pytest.approx((up - down) / (200 * h), abs=1e-3)
    assert slope["mean"].loc[(slice(None), "Cr", "Co")].iloc[0] == expected
