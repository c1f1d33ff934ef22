import sys
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError, MissingExtraError, UnknownTargetError, UnseenElementWarning
from pyro_hea.explain import (
    PUBLISHED_IMPORTANCE,
    attribute,
    compare_with_published,
    correlated_groups,
    features_of,
    interactions,
)

pytest.importorskip("shap")


@pytest.fixture(scope="module")
def groups(vae, alloys):
    return correlated_groups(features_of(vae, alloys), count=3)


@pytest.fixture(scope="module")
def some(alloys):
    return alloys.take(slice(0, 4))


def worth(vae, x, background, groups):
    """Worth (K,) of each coalition of groups, straight from the head."""
    names = list(background.columns)
    table = {}
    for size in range(len(groups) + 1):
        for coalition in combinations(groups, size):
            mixed = background.copy()
            kept = [names.index(f) for g in coalition for f in groups[g]]
            mixed.iloc[:, kept] = x.to_numpy()[kept]
            features = torch.tensor(mixed.to_numpy(), dtype=torch.float32)
            (p,) = vae.ensemble.head_probabilities(features).values()
            table[frozenset(coalition)] = p.double().mean(-1).numpy()
    return table


def shapley(worth, players):
    n, values = len(players), {}
    for player in players:
        others = [p for p in players if p != player]
        values[player] = sum(
            factorial(len(s))
            * factorial(n - len(s) - 1)
            / factorial(n)
            * (worth[frozenset({*s, player})] - worth[frozenset(s)])
            for size in range(n)
            for s in combinations(others, size)
        )
    return values


def test_attributions_to_groups_are_shapleys_formula(vae, alloys, some, groups):
    found = attribute(vae, some, groups=groups, background=alloys)
    features = features_of(vae, alloys)
    for alloy in some.formulas:
        values = worth(vae, features.loc[alloy], features, groups)
        for name, value in shapley(values, list(groups)).items():
            got = found.values.sel(alloy=alloy, feature=name)
            np.testing.assert_allclose(got, value, atol=1e-6)
        np.testing.assert_allclose(found.base, values[frozenset()], atol=1e-6)


def test_attributions_add_up_to_prediction_minus_base(vae, some, alloys):
    found = attribute(vae, some, background=alloys.take(slice(4, 12)))
    assert found.values.shape == (3, 4, 31)
    predicted = vae.predict(some)["single_phase"]
    np.testing.assert_allclose(found.prediction.mean("member"), predicted, atol=1e-6)
    base = vae.predict(alloys.take(slice(4, 12)))["single_phase"].mean()
    assert float(found.base.mean()) == pytest.approx(base, abs=1e-6)


def test_a_head_with_a_known_formula_gives_the_values_worked_out_by_hand(alloys):
    spec = ModelSpec.from_mapping(
        {
            "features": {"names": ["mixing_entropy", "largest_fraction"], "bins": 1},
            "head": {"hidden": []},
            "training": {
                "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
                "members": 1,
                "epochs": 1,
            },
        }
    )
    vae = DisentangledVAE(spec).fit(alloys, seed=0, progress=False)
    model = vae.ensemble.model
    model.embedding.edges.copy_(torch.tensor([[0.0, 20.0], [0.0, 1.0]]))
    layer = model.heads["single_phase"][0]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[3.0], [-2.0]]]))
        layer.bias.fill_(0.5)

    found = attribute(vae, ["Co3Cr"], background=["CoCrFeNi"])

    # p = expit(0.5 + 3 entropy / 20 - 2 largest), of CoCrFeNi (a) and Co3Cr (b)
    a = np.array([8.314 * np.log(4) / 20, 0.25])
    b = np.array([-8.314 * (0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / 20, 0.75])

    def p(entropy, largest):
        return expit(0.5 + 3 * entropy - 2 * largest)

    of_entropy = (p(b[0], a[1]) - p(a[0], a[1]) + p(b[0], b[1]) - p(a[0], b[1])) / 2
    of_largest = (p(a[0], b[1]) - p(a[0], a[1]) + p(b[0], b[1]) - p(b[0], a[1])) / 2
    np.testing.assert_allclose(found.base, p(*a), atol=1e-6)
    np.testing.assert_allclose(found.values[0, 0], [of_entropy, of_largest], atol=1e-6)
    table = found.of("Co3Cr")
    assert table.loc["largest_fraction", "value"] == 0.75
    assert table["mean"].abs().is_monotonic_decreasing


def test_pairs_add_up_and_hold_the_joint_effect(vae, alloys, some, groups):
    pairs = interactions(vae, some, groups=groups, background=alloys)
    features = features_of(vae, alloys)
    one, two, _ = groups
    for alloy in some.formulas:
        values = worth(vae, features.loc[alloy], features, groups)
        total = values[frozenset(groups)] - values[frozenset()]
        of_alloy = pairs.sel(alloy=alloy)
        np.testing.assert_allclose(of_alloy.sum(("feature", "other")), total, atol=1e-6)
        own = values[frozenset({one})] - values[frozenset()]
        np.testing.assert_allclose(of_alloy.sel(feature=one, other=one), own, atol=1e-6)
        # Dhamdhere, Agarwal and Sundararajan (2020): 2/n Σ_T δ(T) / C(n - 1, |T|)
        joint = 0
        (third,) = set(groups) - {one, two}
        for rest, weight in (((), 2 / 3), ((third,), 2 / 3 / 2)):
            parts = (
                values[frozenset({*with_, *rest})] * sign
                for with_, sign in (((one, two), 1), ((one,), -1), ((two,), -1), ((), 1))
            )
            joint += weight * sum(parts)
        np.testing.assert_allclose(2 * of_alloy.sel(feature=one, other=two), joint, atol=1e-6)
    singles = {f: (f,) for f in features.columns}
    with pytest.raises(DataError, match=r"31 groups have .* at most 10"):
        interactions(vae, some, groups=singles)


def test_importance_has_an_interval_over_the_members(vae, some, groups):
    found = attribute(vae, some, groups=groups)
    table = found.importance
    assert table["mean"].is_monotonic_decreasing
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    by_hand = np.abs(found.values.to_numpy()).mean((0, 1))
    np.testing.assert_allclose(table.loc[list(groups), "mean"], by_hand)


def test_the_same_seed_gives_the_same_values_and_numpys_state_is_kept(vae, some, numpy_state):
    before = numpy_state()
    first, second = (attribute(vae, some, seed=3).values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert numpy_state() == before


def test_features_that_say_the_same_are_in_one_group(vae, alloys):
    features = features_of(vae, alloys)
    groups = correlated_groups(features, count=6)
    assert len(groups) == 6
    assert sorted(f for members in groups.values() for f in members) == sorted(features)
    of = {f: name for name, members in groups.items() for f in members}
    assert of["atomic_size_difference"] == of["atomic_radius_spread"]


def test_beside_the_published_ranking():
    table = pd.DataFrame({"mean": PUBLISHED_IMPORTANCE, "low": 0.0, "high": 1.0})
    same, rho = compare_with_published(table)
    assert rho == pytest.approx(1)
    assert same["rank"].tolist() == same["published_rank"].tolist() == list(range(1, 9))
    other = table.assign(mean=-table["mean"]).drop("bulk_modulus")
    assert compare_with_published(other)[1] == pytest.approx(-1)
    with pytest.raises(DataError, match="holds 2 of the published"):
        compare_with_published(table.head(2))


def test_an_alloy_outside_the_training_elements_is_explained_in_features(vae, alloys):
    with pytest.warns(UnseenElementWarning, match="holds Re: .* have no latent"):
        found = attribute(vae, ["CoCrReNi"], background=alloys.take(slice(0, 4)))
    assert np.isfinite(found.values).all()


def test_what_is_wrong_is_said(vae, some, groups):
    with pytest.raises(UnknownTargetError, match="single_phas"):
        attribute(vae, some, "single_phas")
    with pytest.raises(DataError, match=r"'omeg' is no feature here\. Did you mean 'omega'"):
        attribute(vae, some, groups={"a": ["omeg"]})
    with pytest.raises(DataError, match="each feature is in one group; not so mixing_entropy"):
        attribute(vae, some, groups={"a": ["omega"]})
    with pytest.raises(DataError, match="'CoNi' was not explained"):
        attribute(vae, some, groups=groups).of("CoNi")


def test_a_missing_library_is_one_clear_error(vae, some, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pyro-hea\[explain\]"'):
        attribute(vae, some)
