"""An atlas of alloys: families with their elements, projections, and designs by descent."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_hea import Atlas, AtlasSpec
from pyro_hea.charts import AlloyAtlas
from pyro_hea.design import ForbiddenElements, MaxElements, MinElements
from pyro_hea.errors import (
    CheckpointError,
    ConstraintError,
    DataError,
    EstimateWarning,
    UnknownElementError,
)
from pyro_hea.materials.alloys.features import FeatureMap

pytestmark = pytest.mark.filterwarnings("ignore::pyro_hea.errors.DesignWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def families(alloys, folder) -> AlloyAtlas:
    spec = AtlasSpec.shipped("alloys").with_(
        charts=4, dim=3, decoder={"couplings": 2, "hidden": [16]}, seeding__neighbours=20
    )
    return AlloyAtlas(spec).fit(alloys, seed=0, progress=False, checkpoint=folder)


def test_a_chart_holds_the_elements_of_its_family_alone(families, alloys):
    chart = families.families(alloys)
    assert len(set(chart)) > 1
    support = families.atlas.model.support.numpy()
    z = np.random.default_rng(0).normal(size=(50, 3))
    for k in range(4):
        absent = np.setdiff1d(np.arange(14), support[k])
        assert np.abs(families.atlas.decode(z, k)[:, absent]).max(initial=0) == 0


def test_projections_are_alloys_near_those_given(families, alloys):
    made = families.project(alloys)
    np.testing.assert_allclose(made.sum(axis=1), 1)
    assert ((made == 0) | (made >= 0.01)).all(axis=None)
    assert made.index.equals(alloys.fractions.index)
    true = alloys.fractions[list(made.columns)]
    off = np.abs(made - true).to_numpy().mean()
    mean = np.abs(true - true.mean()).to_numpy().mean()
    assert off < 0.5 * mean
    assert (
        families.project(["AgNi2Cu", "Ni2CuAg"]).iloc[0].equals(families.project("Ni2AgCu").iloc[0])
    )


def test_drawn_alloys_are_compositions(families):
    drawn = families.sample(40, seed=1)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    assert drawn.equals(families.sample(40, seed=1))


def test_designs_satisfy_all_constraints_and_are_likelier_than_where_they_began(families, vae):
    constraints = [ForbiddenElements("Co"), MinElements(3), MaxElements(5)]
    designs = families.design(vae, {"single_phase": 1}, constraints, n=5, seed=0, steps=8)
    fractions = designs.table[list(vae.ensemble.elements)].to_numpy()
    number = (fractions > 0).sum(1)
    assert 1 <= len(designs) <= 5
    assert (designs["Co"] == 0).all()
    assert ((number >= 3) & (number <= 5)).all()
    np.testing.assert_allclose((fractions / 0.005).round(), fractions / 0.005, atol=1e-6)
    assert (designs["novelty"] >= 0.02 - 1e-9).all()
    known = vae.predict(vae.ensemble.known)["single_phase"]
    assert designs["all_wishes"].mean() > known.mean()
    assert designs.attributes["inference"] == "atlas"


def test_matches_have_the_features_that_were_measured(families, vae, alloys):
    asked = {"valence_electron_concentration": (7.5, 0.05), "mixing_enthalpy": (-12.0, 1.0)}
    matches = families.match(vae, asked, n=4, seed=0, steps=15)
    elements = list(vae.ensemble.elements)
    computed = FeatureMap([*asked], vae.ensemble.tables, elements)(
        torch.tensor(matches.table[elements].to_numpy())
    )
    np.testing.assert_allclose(matches.table[[*asked]], computed)
    assert abs(matches.table["valence_electron_concentration"].iloc[0] - 7.5) < 0.25
    assert abs(matches.table["mixing_enthalpy"].iloc[0] + 12) < 5
    have = alloys.features[[*asked]]
    value, sd = np.array([*asked.values()]).T
    of_known = (np.abs(have - value) / sd).max(axis=1).median()
    assert (np.abs(matches.table[[*asked]] - value) / sd).max(axis=1).iloc[0] < of_known


def test_draws_given_measured_features_are_those_of_reweighted_draws_of_the_prior(families, vae):
    asked = {"valence_electron_concentration": (8.0, 0.5), "atomic_size_difference": (5.0, 1.0)}
    idata = families.posterior(vae, asked, draws=200, chains=8, particles=200, seed=1)
    drawn = idata.posterior["composition"]
    assert [*drawn["element"].to_numpy()] == [*families.elements]
    of = FeatureMap([*asked], vae.ensemble.tables, families.elements)
    flat = torch.tensor(drawn.to_numpy().reshape(-1, drawn.shape[-1]))
    np.testing.assert_allclose(flat.sum(1), 1)
    assert ((flat == 0) | (flat >= 0.01)).all()
    have = idata.posterior["features"].to_numpy()
    np.testing.assert_allclose(have.reshape(-1, 2), of(flat))
    before = of(torch.tensor(families.sample(20_000, seed=2).to_numpy())).numpy()
    value, sd = np.array([*asked.values()]).T
    weight = np.exp(-np.square((before - value) / sd).sum(1) / 2)
    weight /= weight.sum()
    exact = weight @ before
    sure = np.sqrt(np.square(weight) @ np.square(before - exact))
    of_chains = have.mean(1)
    error = np.hypot(of_chains.std(0, ddof=1) / np.sqrt(8), sure)
    assert (np.abs(of_chains.mean(0) - exact) < 4 * error).all()


def test_a_map_has_each_alloy_in_its_family(families, alloys):
    ax = families.plot(alloys)
    counts = [int(t.get_text().split("(")[1][:-1]) for t in ax.get_legend().get_texts()]
    found = families.families(alloys).value_counts()
    assert counts == found.tolist()


def test_a_saved_atlas_of_alloys_projects_the_same(families, alloys, tmp_path):
    families.save(tmp_path)
    again = AlloyAtlas.load(tmp_path)
    assert again.project(alloys).equals(families.project(alloys))
    assert "4 charts of 3 dimensions" in repr(again)


def test_what_cannot_be_answered_is_named(families, vae, alloys):
    with pytest.raises(DataError, match="60 alloys are fewer than the 70 charts"):
        AlloyAtlas(AtlasSpec(charts=70)).fit(alloys, progress=False)
    with pytest.raises(UnknownElementError, match="no alloy of this atlas holds Hf"):
        families.project("HfNi")
    with pytest.raises(ConstraintError, match="it needs a feature"):
        families.match(vae, {})
    with pytest.raises(ConstraintError, match=r"'mixing_enthalpy' is to be \(value, standard"):
        families.posterior(vae, {"mixing_enthalpy": -10})
    for wrong in (("a", 1), (np.nan, 1), 8.1, (8.1, 0)):
        with pytest.raises(ConstraintError, match=r"is to be \(value, standard"):
            families.match(vae, {"mixing_enthalpy": wrong})
    with pytest.raises(DataError, match="min_fraction=2 is not allowed"):
        families.sample(2, min_fraction=2)


def test_of_an_alloy_the_commonest_element_is_never_dropped(families, alloys):
    made = families.project(alloys, min_fraction=0.9)
    assert (made.max(axis=1) == 1).all()


def test_features_that_no_alloy_has_are_said(families, vae):
    wish = {"valence_electron_concentration": (800, 0.1)}
    with pytest.warns(EstimateWarning, match="standard deviations from the measured features"):
        families.match(vae, wish, n=1, steps=1)
    with pytest.warns(EstimateWarning, match="standard deviations from the measured features"):
        families.posterior(vae, wish, draws=5, chains=1, particles=20)


def test_an_atlas_of_alloys_is_resumed(families, alloys, folder):
    spec = families.atlas.spec
    again = AlloyAtlas(spec).fit(alloys, progress=False, checkpoint=folder, resume=True)
    assert again.project(alloys).equals(families.project(alloys))
    assert "4 charts" in again._repr_html_()


def test_an_atlas_of_other_points_is_not_read_as_one_of_alloys(tmp_path):
    spec = AtlasSpec(charts=2, dim=1, seeding={"steps": 0}, training={"epochs": 1}, overlap=None)
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["u", "v"])
    Atlas(spec).fit(points, progress=False).save(tmp_path)
    with pytest.raises(CheckpointError, match="an atlas of points with u, v, not of alloys"):
        AlloyAtlas.load(tmp_path)
