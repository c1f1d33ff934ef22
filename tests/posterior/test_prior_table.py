import numpy as np
import pytest
from scipy import stats

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.errors import UnknownElementError

FORMULAS = ["CoCrFeMnNi", "AlNi", "MoNbTaW", "Fe", "Al2CoCrFeNi", "CuZr"]
FOUR = {
    "targets": {
        "single_phase": {},
        "phase": {
            "kind": "categorical",
            "classes": ["fcc", "bcc", "several"],
            "given": "single_phase",
            "only": {"single_phase": {"0": ["several"], "1": ["fcc", "bcc"]}},
        },
        "rating": {
            "kind": "ordinal",
            "levels": ["poor", "fair", "good"],
            "prior": {"dist": "Categorical", "probs": [0.2, 0.3, 0.5]},
        },
        "hardness": {
            "kind": "continuous",
            "unit": "HV",
            "given": "phase",
            "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.5},
            "conditions": {"test_temperature_C": 25},
        },
        "enthalpy": {
            "kind": "continuous",
            "unit": "kJ/mol",
            "positive": False,
            "transform": "identity",
            "prior": {"dist": "Cauchy", "loc": -5.0, "scale": 2.0},
        },
    },
    "training": {"members": 2},
}


def unfitted(**changes):
    return DisentangledVAE(ModelSpec(training={"members": 2}).with_(**changes))


@pytest.fixture(scope="module")
def four():
    return DisentangledVAE(ModelSpec.from_mapping(FOUR))


@pytest.fixture(scope="module")
def idata(four):
    return four.prior_predictive(2000, FORMULAS, seed=1)


class TestPriorPredictiveBeforeFit:
    def test_draws_every_site(self, four, idata):
        assert set(idata["prior"].data_vars) == {*four.spec.target_names, "z"}
        composition = idata["prior_predictive"]["composition"]
        assert dict(composition.sizes)["element"] == 12
        assert np.allclose(composition.sum("element"), 1, atol=1e-5)

    def test_follows_the_declared_priors(self, idata):
        prior = {name: values.to_numpy().ravel() for name, values in idata["prior"].items()}
        levels = [(prior["rating"] == level).mean() for level in range(3)]
        assert levels == pytest.approx([0.2, 0.3, 0.5], abs=0.04)
        assert stats.kstest(np.log(prior["hardness"]), stats.norm(6, 0.5).cdf).pvalue > 1e-3
        assert stats.kstest(prior["enthalpy"], stats.cauchy(-5, 2).cdf).pvalue > 1e-3
        assert stats.kstest(prior["z"].ravel()[::8], stats.norm.cdf).pvalue > 1e-3

    def test_keeps_to_what_is_possible(self, idata):
        several = idata["prior"]["phase"].to_numpy() == 2
        assert ((idata["prior"]["single_phase"].to_numpy() == 0) == several).all()

    def test_is_the_same_again_and_the_model_stays_unfitted(self, four):
        again = [four.prior_predictive(5, FORMULAS, seed=2) for _ in range(2)]
        assert again[0]["prior_predictive"].equals(again[1]["prior_predictive"])
        assert "not fitted" in repr(four)

    def test_reads_the_embedded_alloys_by_default(self):
        idata = unfitted().prior_predictive(3)
        assert idata["prior_predictive"].sizes["element"] == 30

    def test_an_experts_prior_reads_the_features(self):
        vae = unfitted(targets__single_phase__prior={"rule": "hume_rothery", "strength": 4.0})
        share = {
            formula: float(vae.prior_predictive(400, [formula])["prior"]["single_phase"].mean())
            for formula in ("CoCrFeMnNi", "CuZr")
        }
        assert share["CoCrFeMnNi"] > 0.95
        assert share["CuZr"] < 0.05

    def test_does_not_look_at_labels(self, alloys):
        vae = unfitted(targets__single_phase__reports={})
        drawn = [vae.prior_predictive(20, a) for a in (alloys, alloys.without_labels())]
        assert drawn[0]["prior"].equals(drawn[1]["prior"])


class TestPriorPredictiveAfterFit:
    def test_takes_features_from_the_alloys_given(self, vae):
        assert vae.prior_predictive(4, ["AlNi"])["prior"].sizes["chain"] == 3
        with pytest.raises(UnknownElementError, match="Zr"):
            vae.prior_predictive(4, ["Zr"])

    def test_is_that_of_the_trained_model(self, vae):
        first = DisentangledVAE(vae.spec).prior_predictive(5, vae.ensemble.known)
        drawn = vae.prior_predictive(5)
        assert drawn["prior"]["z"].equals(first["prior"]["z"])  # of the same prior and seed
        assert not drawn["prior_predictive"].equals(first["prior_predictive"])
        assert drawn["prior_predictive"].equals(vae.prior_predictive(5)["prior_predictive"])


@pytest.fixture(scope="module")
def table(four):
    return four.prior_table(FORMULAS)


class TestTable:
    def test_densities_are_those_of_scipy(self, table):
        hardness = table[table["site"] == "hardness"]
        expected = stats.lognorm(0.5, scale=np.exp(6)).pdf(hardness["value"])
        assert np.allclose(hardness["density"], expected, rtol=1e-4)
        assert set(hardness["what"]) == {"hardness (HV)"}
        assert set(hardness["support"]) == {"positive"}
        enthalpy = table[table["site"] == "enthalpy"]
        assert np.allclose(
            enthalpy["density"], stats.cauchy(-5, 2).pdf(enthalpy["value"]), rtol=1e-3
        )
        z = table[table["site"] == "z"]
        assert np.allclose(z["density"], stats.norm.pdf(z["value"]), rtol=1e-4)

    def test_masses_sum_to_one_under_their_names(self, table):
        masses = table[table["kind"] == "mass"].groupby("site", sort=False)
        assert masses["density"].sum().to_numpy() == pytest.approx(1)
        assert masses["label"].agg(list)["phase"] == ["fcc", "bcc", "several"]
        rating = table[table["site"] == "rating"]
        assert rating["density"].tolist() == pytest.approx([0.2, 0.3, 0.5])

    def test_a_rule_is_told_by_the_alloys(self):
        vae = unfitted(targets__single_phase__prior={"rule": "hume_rothery", "strength": 2.0})
        rows = vae.prior_table(["CoCrFeMnNi", "CuZr", "CoNi", "FeNi"])
        share = rows[rows["kind"] == "share"].set_index("value")["density"]
        assert share.sum() == pytest.approx(1)
        assert share.loc[0.8:0.9].sum() == 0.75  # 1 / (1 + exp(-2)) = 0.88
        assert share.loc[0.1:0.2].sum() == 0.25

    def test_coefficients_have_their_densities_and_make_a_spread_of_probabilities(self):
        prior = {"logistic": {"number_of_elements": -0.8}, "intercept": 1.0, "scale": 0.2}
        rows = unfitted(targets__single_phase__prior=prior).prior_table()
        slope = rows[rows["site"] == "single_phase_number_of_elements"]
        assert np.allclose(slope["density"], stats.norm(-0.8, 0.2).pdf(slope["value"]), rtol=1e-3)
        share = rows[rows["kind"] == "share"]
        assert (share["density"] > 0).sum() > 5

    def test_reliabilities_are_beta(self):
        reports = {"right": 4.0, "wrong": 2.0, "sources": {"ours": {"right": 30.0, "wrong": 1.0}}}
        rows = unfitted(targets__single_phase__reports=reports).prior_table(FORMULAS)
        ours = rows[rows["site"] == "single_phase_reliability"]
        assert np.allclose(ours["density"], stats.beta(30, 1).pdf(ours["value"]))

    @pytest.mark.parametrize("dist", ["Mixture", "Flow"])
    def test_a_learnt_prior_of_z_is_told_by_draws(self, dist):
        rows = unfitted(latent__prior={"dist": dist}).prior_table(FORMULAS)
        z = rows[rows["site"] == "z"]
        assert np.trapezoid(z["density"], z["value"]) == pytest.approx(1, abs=0.05)
