"""A spec inferred from data: kinds, units, priors, conditions, and what is ignored and why."""

import warnings

import numpy as np
import pandas as pd
import pytest

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError, FewLabelsWarning, SpecError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.spec import Binary, Categorical, Continuous, Ordinal
from pyro_hea.spec.inferred import infer_targets, prior_of_values

N = 40
RNG = np.random.default_rng(0)
COLUMNS = {
    "single_phase": [float(i % 2) for i in range(N)],
    "phase": [["fcc", "bcc", "several"][i % 3] for i in range(N)],
    "rating": [float(1 + i % 4) for i in range(N)],
    "hardness": np.exp(RNG.normal(6, 0.3, N)).tolist(),
    "magnetisation": RNG.normal(0, 1, N).tolist(),
    "sample": [f"batch {i}" for i in range(N)],
    "furnace": ["vacuum"] * N,
    "runs": [3.0] * N,
}


def dataset(columns, **of_reports):
    """Alloys Al_x Ni with a report for each value; None where there is none."""
    length = max(map(len, columns.values()))
    fractions = fraction_table([f"Al{i + 1}Ni{2 * length}" for i in range(length)])
    reports = pd.DataFrame(
        [
            {"formula": formula, "target": name, "value": value}
            | {key: values[i] for key, values in of_reports.items()}
            for name, values_of in columns.items()
            for i, (formula, value) in enumerate(zip(fractions.index, values_of, strict=False))
            if value is not None
        ]
    )
    return AlloyDataset.from_reports(fractions, reports, list(columns))


@pytest.fixture(scope="module")
def inferred():
    return infer_targets(dataset(COLUMNS, unit=["HV"] * N, doi=["10.1/x"] * N))


def test_each_column_gets_the_kind_of_its_values(inferred):
    kinds = {target.name: type(target) for target in inferred.targets}
    assert kinds == {
        "single_phase": Binary,
        "phase": Categorical,
        "rating": Ordinal,
        "hardness": Continuous,
        "magnetisation": Continuous,
    }


def test_classes_and_levels_are_those_in_the_data(inferred):
    by_name = {target.name: target for target in inferred.targets}
    assert by_name["phase"].classes == ("bcc", "fcc", "several")
    assert by_name["rating"].levels == ("1", "2", "3", "4")


def test_a_positive_number_is_logarithmic_and_another_is_not(inferred):
    by_name = {target.name: target for target in inferred.targets}
    assert (by_name["hardness"].transform, by_name["hardness"].positive) == ("log", True)
    other = by_name["magnetisation"]
    assert (other.transform, other.positive) == ("identity", False)


def test_prior_has_the_mean_and_twice_the_standard_deviation_of_the_values(inferred):
    prior = next(t.prior for t in inferred.targets if t.name == "hardness")
    logs = np.log(COLUMNS["hardness"])
    assert dict(prior.arguments)["loc"] == pytest.approx(logs.mean(), rel=5e-3)
    assert dict(prior.arguments)["scale"] == pytest.approx(2 * logs.std(ddof=1), rel=5e-3)


@pytest.mark.parametrize(
    ("values", "transform"), [([5.0], "log"), ([5.0], "identity"), ([0.0, 0.0], "identity")]
)
def test_prior_has_a_width_even_where_the_values_have_none(values, transform):
    assert dict(prior_of_values(values, transform).arguments)["scale"] > 0


def test_every_column_is_told_with_what_it_is_used_as_or_why_not(inferred):
    told = {column.name: column for column in inferred.columns}
    assert told["sample"].used_as == "ignored"
    assert told["sample"].why == "40 texts in 40 rows are names, not classes"
    assert told["furnace"].why == "every value is 'vacuum'"
    assert told["runs"].why == "every value is 3"
    assert (told["doi"].used_as, told["doi"].labels) == ("ignored", 8 * N)
    assert (told["hardness"].unit, told["hardness"].labels) == ("HV", N)
    text = str(inferred)
    assert text.splitlines()[0].split() == [
        "column",
        "used",
        "as",
        "labels",
        "unit",
        "prior",
        "why",
    ]
    for name in (*COLUMNS, "doi"):
        assert f"\n{name} " in text


def test_for_data_prints_the_table_unless_told_not_to(capsys):
    data = dataset({"hardness": COLUMNS["hardness"]})
    spec = ModelSpec.for_data(data)
    assert "hardness  continuous" in capsys.readouterr().out
    assert ModelSpec.for_data(data, verbose=False) == spec
    assert capsys.readouterr().out == ""


def test_columns_and_values_can_be_chosen():
    spec = ModelSpec.for_data(
        dataset(COLUMNS),
        ["hardness"],
        verbose=False,
        training__members=3,
        targets__hardness__unit="GPa",
    )
    assert spec.target_names == ("hardness",)
    assert (spec.training.members, spec.target("hardness").unit) == (3, "GPa")


def test_a_column_that_is_asked_for_and_cannot_be_is_refused():
    with pytest.raises(DataError, match="column 'furnace' cannot be a target: every value is 'v"):
        ModelSpec.for_data(dataset(COLUMNS), ["furnace"])
    with pytest.raises(DataError, match=r"'hardnes' is no measured .* mean 'hardness'"):
        ModelSpec.for_data(dataset(COLUMNS), ["hardnes"])


def test_data_without_any_target_are_refused_with_the_reasons():
    with pytest.raises(DataError, match=r"no column .* can be a target \(runs: every value is 3\)"):
        ModelSpec.for_data(dataset({"runs": [3.0] * N}))


class TestConditions:
    def test_a_number_measured_at_several_temperatures_depends_on_them(self):
        hot = [25.0 + 100 * (i % 3) for i in range(N)]
        data = dataset({"hardness": COLUMNS["hardness"]}, test_temperature_C=hot)
        inferred = infer_targets(data)
        assert dict(inferred.targets[0].conditions) == {"test_temperature_C": 25.0}
        told = {column.name: column.used_as for column in inferred.columns}
        assert told["test_temperature_C"] == "condition"

    def test_spellings_of_joined_tables_are_one_class(self):
        spelled = ["CAST", "as-cast", "annealed", "ANNEAL", "Annealed"]
        data = dataset({"hardness": COLUMNS["hardness"]}, processing=spelled * (N // 5))
        (classes,) = infer_targets(data).targets[0].conditions.values()
        assert classes == ("annealed", "CAST")

    @pytest.mark.parametrize("temperature", [25.0, np.nan])
    def test_one_measured_at_one_does_not(self, temperature):
        data = dataset({"hardness": COLUMNS["hardness"]}, test_temperature_C=[temperature] * N)
        assert not infer_targets(data).targets[0].conditions

    def test_alloys_without_a_test_at_room_temperature_are_told(self):
        data = dataset(
            {"hardness": COLUMNS["hardness"]}, test_temperature_C=[25.0] * 30 + [800.0] * 10
        )
        told = infer_targets(data).columns[0]
        assert told.labels == 30
        assert told.why.endswith("; 10 alloys without a label: no test between 15 and 35 °C")

    def test_a_number_without_one_at_room_temperature_is_no_target(self):
        columns = {"hardness": COLUMNS["hardness"], "phase": COLUMNS["phase"]}
        data = dataset(columns, test_temperature_C=[800.0] * N)
        hardness, phase, *_ = infer_targets(data).columns
        assert (hardness.used_as, phase.used_as) == ("ignored", "categorical")
        assert "without the column of the temperature its values count" in hardness.why
        spec = ModelSpec(targets={"hardness": {"kind": "continuous"}})
        with pytest.raises(DataError, match="'hardness': no test of it was between 15 and 35 °C"):
            DisentangledVAE(spec).fit(data, progress=False)


class TestFewLabels:
    def test_of_a_number(self):
        data = dataset({"hardness": COLUMNS["hardness"][:12]})
        with pytest.warns(FewLabelsWarning, match="'hardness' has 12 labels, fewer than 20"):
            ModelSpec.for_data(data, verbose=False)

    def test_of_a_class(self):
        phases = ["fcc"] * 30 + ["bcc"] * 3
        with pytest.warns(FewLabelsWarning, match="'phase' is 'bcc' for 3 alloys, fewer than 5"):
            ModelSpec.for_data(dataset({"phase": phases}), verbose=False)

    def test_enough_give_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ModelSpec.for_data(dataset(COLUMNS), verbose=False)


class TestWithoutAPrior:
    SPEC = ModelSpec(targets={"hardness": {"kind": "continuous", "unit": "HV"}})

    def test_a_number_needs_none(self):
        assert self.SPEC.target("hardness").prior is None
        assert ModelSpec.from_mapping(self.SPEC.to_mapping()) == self.SPEC

    def test_it_is_scaled_to_the_labels(self):
        data = dataset({"hardness": COLUMNS["hardness"]})
        prior = self.SPEC.scaled_to(data).target("hardness").prior
        assert prior == prior_of_values(COLUMNS["hardness"], "log")

    def test_one_that_is_declared_stays(self):
        spec = self.SPEC.with_prior("hardness", {"dist": "Normal", "loc": 0, "scale": 1})
        assert spec.scaled_to(dataset({"hardness": COLUMNS["hardness"]})) is spec

    def test_fit_scales_it_and_the_model_says_so(self):
        small = {"head": {"hidden": [4]}, "encoder": {"hidden": [4]}, "decoder": {"hidden": [4]}}
        spec = self.SPEC.with_(training__members=1, training__epochs=1, latent__flow=None, **small)
        data = dataset({"hardness": COLUMNS["hardness"]})
        vae = DisentangledVAE(spec).fit(data, progress=False, device="cpu")
        assert vae.spec == spec.scaled_to(data)

    def test_before_the_labels_are_seen_it_is_asked_for(self):
        from pyro_hea.posterior import untrained_ensemble

        with pytest.raises(SpecError, match=r"targets.hardness: there is no prior yet; fit scales"):
            untrained_ensemble(self.SPEC, ["AlNi", "Al2Ni"], 0)
