import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError
from pyro_hea.explain import (
    FAMILIES,
    align,
    alloy_factors,
    axis_kl,
    correlations,
    equimolar_quaternaries,
    family_factors,
    label_leak,
    name_axes,
)
from pyro_hea.materials.alloys.features import RICH_FEATURES


def test_families_share_no_element_and_add_up(alloys):
    members = [e for family in FAMILIES.values() for e in family]
    assert len(members) == len(set(members))
    factors = family_factors(alloys)
    np.testing.assert_allclose(factors.sum(axis=1), 1)
    assert factors.loc[alloys.formulas[0], "light"] == alloys.fractions["Al"].iloc[0]


def test_factors_are_families_elements_and_features_that_vary(alloys):
    factors = alloy_factors(alloys)
    constant = {"number_of_elements", "fifth_largest_fraction"}  # always four elements
    assert set(factors["feature"]) == set(RICH_FEATURES) - constant
    assert list(factors["element"]) == list(alloys.elements)


def test_quaternaries_are_all_of_one_family_and_equimolar():
    table = equimolar_quaternaries(["Ag", "Au", "Pd", "Pt", "Co", "Cr", "Fe", "Mn", "Ni", "Al"])
    assert table["family"].value_counts().to_dict() == {"magnetic": 5, "noble": 1}
    fractions = table.drop(columns="family")
    assert ((fractions == 0.25).sum(axis=1) == 4).all()
    with pytest.raises(DataError, match="no four are in one family"):
        equimolar_quaternaries(["Al", "Co", "Ta"])


def test_each_axis_is_named_by_what_it_is_most_correlated_with(vae, alloys):
    factors = family_factors(alloys)
    table = name_axes(vae, alloys, factors, member=1)
    z = vae.encode(alloys, 1)
    r = correlations(z, factors)
    for axis, row in table.iterrows():
        sign, name = row["name"].split(" ", 1)
        expected = np.corrcoef(z[axis], factors[name])[0, 1]
        assert r.loc[axis, name] == pytest.approx(expected)
        assert row["r2"] == pytest.approx((r.loc[axis] ** 2).max())
        assert (sign == "+") == (expected > 0)
    assert name_axes(vae, alloys, alloy_factors(alloys))["name"].str.count(" ").min() >= 2


def test_kl_of_an_axis_without_a_flow_is_that_of_its_normal(alloys):
    spec = ModelSpec.from_mapping(
        {
            "latent": {"dim": 2, "flow": None},
            "encoder": {"covariance": "diagonal"},
            "training": {
                "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
                "members": 1,
                "epochs": 3,
            },
        }
    )
    vae = DisentangledVAE(spec).fit(alloys, seed=0, progress=False)
    ensemble, batch = vae.ensemble, vae.ensemble.batch(alloys)
    q = ensemble.model.latent_posterior(batch.composition, batch.targets).base_dist
    expected = (q.loc**2 + q.scale**2 - 1) / 2 - q.scale.log()
    found = axis_kl(vae, alloys)
    np.testing.assert_allclose(found, expected.detach().mean((0, 1)), rtol=0.1)


def test_an_axis_that_says_nothing_is_reported(vae, alloys, monkeypatch):
    monkeypatch.setattr("pyro_hea.explain.axes.axis_kl", lambda *_: np.array([0.7, 0.01]))
    assert name_axes(vae, alloys, family_factors(alloys))["used"].tolist() == [True, False]


def test_latents_that_differ_by_a_rotation_are_aligned(vae, alloys):
    z = vae.encode(alloys)
    turn = ortho_group.rvs(z.shape[1], random_state=0)
    moved = pd.DataFrame(z.to_numpy() @ turn + 3, z.index, z.columns)
    (first, second), agreement = align([z, moved])
    np.testing.assert_allclose(second, first, atol=1e-6)
    np.testing.assert_allclose(agreement, 1)


def test_latents_that_have_nothing_in_common_do_not_agree():
    rng = np.random.default_rng(0)
    one, two = (pd.DataFrame(rng.normal(size=(200, 4))) for _ in range(2))
    assert align([one, two])[1][1] < 0
    with pytest.raises(DataError, match=r"latent 1 has shape \(199, 4\)"):
        align([one, two.iloc[:-1]])


def test_a_planted_leak_is_found_and_none_is_seen_where_there_is_none():
    rng = np.random.default_rng(0)
    y = np.tile([0.0, 1.0, np.nan], 80)
    clean = [pd.DataFrame(rng.normal(size=(240, 3))) for _ in range(2)]
    leaky = [z.assign(planted=np.nan_to_num(y) + rng.normal(size=240)) for z in clean]
    assert not label_leak(clean, y)["leaks"].any()
    found = label_leak(leaky, y)
    assert found["leaks"].all()
    # a reader of N(y, 1) alone has an AUC of Φ(1 / √2) = 0.76
    assert (found["low"] < 0.76).all()
    assert (found["high"] > 0.70).all()
