import arviz as az
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from scipy import stats
from small import few_labels, small_spec

from pyro_hea import AlloyDataset, DisentangledVAE
from pyro_hea.errors import DataError, SpecError
from pyro_hea.evaluate import compare_specs, sweep
from pyro_hea.evaluate.predictive_density import composition_density, label_density
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.plots import comparison_panels

pytestmark = few_labels

FLAT = small_spec(
    6,
    features__bins=3,
    training__batch_size=32,
    training__distillation={"trees": 4, "synthetic_alloys": 100, "steps": 5},
)
EXPERT = FLAT.with_prior("single_phase", {"rule": "hume_rothery", "strength": 3.0})
LOGISTIC = FLAT.with_prior("single_phase", {"logistic": {"mixing_entropy": 0.5}})
REPORTS = FLAT.with_(targets__single_phase__reports={})
FLOW = FLAT.with_(latent__flow={"layers": 2, "hidden": 4})
TWO = FLAT.with_(
    targets={
        "single_phase": {},
        "hardness": {
            "kind": "continuous",
            "unit": "HV",
            "given": ["single_phase"],
            "prior": {"dist": "Normal", "loc": 5.0, "scale": 1.0},
        },
    }
)


def binary_alloys(hardness=True):
    """Mixtures of two elements whose fractions are quarters, with labels that follow Co."""
    fractions = fraction_table(["Co", "Co3Ni", "CoNi", "CoNi3", "Ni"])
    co = fractions["Co"].to_numpy()
    reports = pd.DataFrame(
        {
            "formula": [*fractions.index] * 2,
            "target": ["single_phase"] * 5 + ["hardness"] * 5,
            "source": "somebody",
            "value": [*(co > 0.4).astype(float), *(100 + 200 * co)],
        }
    )
    names = ["single_phase", "hardness"] if hardness else ["single_phase"]
    return AlloyDataset.from_reports(fractions, reports[reports["target"].isin(names)], names)


def fitted(spec, alloys):
    learnt = {"trees": 20, "synthetic_alloys": 2000, "steps": 100}
    spec = spec.with_(training__distillation=learnt)
    return DisentangledVAE(spec).fit(alloys, seed=0, progress=False).ensemble


class TestLabelDensity:
    def test_of_a_class_is_the_log_of_the_predicted_probability(self, vae, alloys):
        p = vae.predict(alloys)["single_phase"]
        y = alloys.labels["single_phase"]
        expected = np.log(np.where(y == 1, p, 1 - p))
        assert label_density(vae.ensemble, alloys, "single_phase").to_numpy() == pytest.approx(
            expected, abs=1e-5
        )

    def test_of_a_number_is_per_unit_and_sums_over_what_it_is_given(self):
        alloys = binary_alloys()
        ensemble = fitted(TWO, alloys)
        model, batch = ensemble.model, ensemble.batch(alloys)
        site = model.site("hardness")
        with torch.no_grad():
            read = model.head_inputs(batch)
            one = torch.sigmoid(model.head("single_phase", read, None))[..., 0].numpy()
            density = 0.0
            for value, share in ((0.0, 1 - one), (1.0, one)):
                given = torch.full((*one.shape, 1), value)
                out = model.head("hardness", read, given).numpy()
                centre = float(site.centre) + float(site.spread) * out[..., 0]
                sd = float(site.spread) * (np.logaddexp(out[..., 1], 0) + 1e-2)
                hv = alloys.labels["hardness"].to_numpy()
                density = density + share * stats.lognorm(sd, scale=np.exp(centre)).pdf(hv)
        told = label_density(ensemble, alloys, "hardness")
        assert told.to_numpy() == pytest.approx(np.log(density.mean(0)), abs=1e-4)

    def test_leaves_out_what_has_no_label(self, vae, alloys):
        assert label_density(vae.ensemble, alloys.without_labels(), "single_phase").empty


class TestCompositionDensity:
    @pytest.mark.parametrize(
        "spec",
        [FLAT, LOGISTIC, REPORTS, FLOW, TWO],
        ids=["flat", "logistic", "reports", "flow", "two"],
    )
    @pytest.mark.parametrize("kind", ["multinomial", "hurdle"])
    def test_sums_to_one_over_all_compositions(self, spec, kind):
        alloys = binary_alloys(hardness=spec is TWO)
        spec = spec.with_(likelihood={"kind": kind, "total_count": 4})
        told = composition_density(fitted(spec, alloys), alloys, 4000, seed=0)
        assert np.exp(told["density"]).sum() == pytest.approx(1, abs=0.03)
        assert (told["k_hat"] < 0.7).all()

    def test_is_that_of_a_sum_over_a_grid(self):
        """p(x) = mean_k sum_y p(y) integral of N(z) p(x | z, y), by the trapezoidal rule."""
        alloys = binary_alloys(hardness=False)
        ensemble = fitted(FLAT.with_(latent__dim=1, likelihood__total_count=8), alloys)
        z = torch.linspace(-6, 6, 1201).view(-1, 1, 1, 1).expand(-1, 2, 5, 1)
        batch = ensemble.batch(alloys)
        total = 0.0
        with torch.no_grad():
            for y in (0.0, 1.0):
                likelihood = ensemble.model.likelihood(z, {"single_phase": torch.full((2, 5), y)})
                p = likelihood.log_prob(batch.fractions).exp().double().numpy()
                weight = stats.norm.pdf(z[..., 0].double().numpy())
                total = total + 0.5 * np.trapezoid(p * weight, dx=0.01, axis=0)
        told = composition_density(ensemble, alloys, 20_000, seed=1)
        assert told["density"].to_numpy() == pytest.approx(np.log(total.mean(0)), abs=0.05)


@pytest.fixture(scope="module")
def comparison(alloys):
    specs = {"flat": FLAT, "expert": EXPERT, "logistic": LOGISTIC}
    return compare_specs(specs, alloys, folds=2, seed=0, draws=20, progress=False)


class TestComparison:
    def test_every_alloy_is_held_out_once(self, comparison, alloys):
        for about in ("single_phase", "composition"):
            told = comparison.pointwise.loc[about]
            assert sorted([*told.index, *comparison.left_out]) == sorted(alloys.formulas)
            assert set(told["fold"]) == {0, 1}
        assert np.isfinite(comparison.pointwise.to_numpy(float)).all()

    def test_the_table_is_made_of_paired_differences(self, comparison):
        for about in ("single_phase", "composition"):
            told, table = comparison.pointwise.loc[about], comparison.table.loc[about]
            best = told[table.index[0]]
            for spec, row in table.iterrows():
                below = best - told[spec]
                assert row["elpd_loo"] == pytest.approx(told[spec].sum())
                assert row["elpd_diff"] == pytest.approx(below.sum(), abs=1e-9)
                expected = np.sqrt(len(below) * np.var(below.to_numpy()))
                assert row["dse"] == pytest.approx(expected, abs=1e-9)
            assert list(table["elpd_loo"]) == sorted(table["elpd_loo"], reverse=True)
            assert table["weight"].sum() == pytest.approx(1)

    def test_arviz_draws_a_part(self, comparison):
        az.plot_compare(comparison.table.loc["composition"].copy())
        labels = [label for ax in plt.gcf().axes for label in ax.get_yticklabels()]
        assert {label.get_text() for label in labels} >= {"flat", "expert"}

    def test_has_a_figure(self, comparison):
        panels = comparison_panels(comparison.table)
        assert [p.get_title() for p in panels] == ["composition", "single phase"]
        assert all("nats" in p.get_xlabel() for p in panels)
        assert [t.get_text() for t in panels[0].get_yticklabels()] == list(
            comparison.table.loc["composition"].index
        )

    def test_warns_where_the_weights_cannot_be_trusted(self, comparison):
        doubtful = (comparison.k_hat > 0.7).any()
        told = comparison.table.loc["composition"]["warning"]
        assert told.to_dict() == doubtful[told.index].to_dict()
        assert not comparison.table.loc["single_phase"]["warning"].any()

    def test_is_the_same_again(self, comparison, alloys):
        again = compare_specs(
            {"expert": EXPERT, "flat": FLAT}, alloys, folds=2, seed=0, draws=20, progress=False
        )
        shared = ["fold", "flat", "expert"]
        pd.testing.assert_frame_equal(again.pointwise[shared], comparison.pointwise[shared])


def test_only_what_all_specs_declare_is_compared():
    alloys = binary_alloys()
    some = alloys.take([0, 2, 3, 4]) + alloys.take([1])
    comparison = compare_specs(
        {"one": FLAT, "two": TWO}, some, folds=2, compositions=False, progress=False
    )
    assert set(comparison.table.index.get_level_values("about")) == {"single_phase"}
    assert comparison.k_hat.empty


def test_an_alloy_of_an_element_of_its_own_is_left_out(alloys):
    fractions = fraction_table(["HfSc"])
    reports = pd.DataFrame({"formula": ["HfSc"], "target": ["single_phase"], "value": [1.0]})
    more = alloys + AlloyDataset.from_reports(fractions, reports, ["single_phase"])
    comparison = compare_specs(
        {"a": FLAT, "b": EXPERT}, more, folds=2, compositions=False, progress=False
    )
    assert comparison.left_out == ("HfSc",)
    assert "1 alloys left out" in repr(comparison)


class TestRefusals:
    def test_one_spec_is_no_comparison(self, alloys):
        with pytest.raises(DataError, match="at least two"):
            compare_specs({"flat": FLAT}, alloys)

    def test_one_fold_leaves_nothing_to_train_on(self, alloys):
        with pytest.raises(DataError, match="folds=1"):
            compare_specs({"flat": FLAT, "expert": EXPERT}, alloys, folds=1)

    def test_a_density_and_a_probability_are_not_compared(self, alloys):
        dirichlet = FLAT.with_(likelihood={"kind": "dirichlet"})
        with pytest.raises(SpecError, match=r"'flat'.*'smooth'.*compositions=False"):
            compare_specs({"flat": FLAT, "smooth": dirichlet}, alloys)

    def test_another_number_of_atoms_is_another_measure(self, alloys):
        with pytest.raises(SpecError, match="total_count=200"):
            compare_specs({"flat": FLAT, "many": FLAT.with_(likelihood__total_count=200)}, alloys)

    def test_specs_without_a_common_target(self, alloys):
        other = FLAT.with_(targets={"ductile": {}})
        with pytest.raises(SpecError, match="no target in common"):
            compare_specs({"flat": FLAT, "other": other}, alloys)

    def test_a_target_in_another_unit(self, alloys):
        other = TWO.with_(targets__hardness__unit="GPa")
        with pytest.raises(SpecError, match=r"'hardness'.*HV.*GPa"):
            compare_specs({"HV": TWO, "GPa": other}, alloys)


def test_a_sweep_compares_every_combination_the_same_with_an_executor(shuffled):
    settings = {"latent__dim": [1, 2], "training__batch_size": [2]}
    ask = {"folds": 2, "compositions": False, "progress": False}
    serial = sweep(FLAT, settings, binary_alloys(), **ask)
    names = [f"latent__dim={dim}, training__batch_size=2" for dim in (1, 2)]
    assert sorted(serial.table.loc["single_phase"].index) == names
    found = sweep(FLAT, settings, binary_alloys(), executor=shuffled, **ask)
    pd.testing.assert_frame_equal(found.table, serial.table, check_exact=True)
    pd.testing.assert_frame_equal(found.pointwise, serial.pointwise, check_exact=True)
    assert found.left_out == serial.left_out
    assert shuffled.ran == 4


@pytest.mark.parametrize("values", ["48", 4, []])
def test_a_setting_without_values_is_named(values):
    with pytest.raises(DataError, match="'latent__dim' has the values"):
        sweep(FLAT, {"latent__dim": values}, binary_alloys())
