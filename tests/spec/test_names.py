"""Names that clash are refused when the spec is made, naming the clash."""

import time

import pytest

from pyro_hea.errors import SpecError, UnknownTargetError
from pyro_hea.spec import Binary, ModelSpec, in_order
from pyro_hea.spec.names import check_names_of_targets

NUMBER = {"kind": "continuous"}


@pytest.mark.parametrize("name", ["z", "z3", "composition", "constraints"])
def test_a_target_named_like_a_site(name):
    with pytest.raises(
        SpecError, match=rf"targets.{name}.*'{name}' is a site of the model already"
    ):
        ModelSpec(targets={name: None})


@pytest.mark.parametrize("name", ["chain", "draw", "alloy", "element", "latent"])
def test_a_target_named_like_a_dimension_of_inference_data(name):
    with pytest.raises(SpecError, match=rf"'{name}' is a dimension of the draws already"):
        ModelSpec(targets={name: None})


@pytest.mark.parametrize("name", ["novelty", "known", "all_wishes", "features", "formula", "round"])
def test_a_target_named_like_a_column(name):
    with pytest.raises(SpecError, match=rf"'{name}' is a column of the tables already"):
        ModelSpec(targets={name: None})


@pytest.mark.parametrize("name", ["type", "values", "training", "float", "items", "double"])
def test_a_target_named_like_an_attribute_of_a_torch_module(name):
    with pytest.raises(SpecError, match=rf"'{name}' is an attribute of torch modules already"):
        ModelSpec(targets={name: None})


@pytest.mark.parametrize("name", ["a__b", "a_"])
def test_a_target_that_with_could_not_lead_into(name):
    with pytest.raises(SpecError, match="which with_\\(\\) would not read"):
        ModelSpec(targets={name: None})


@pytest.mark.parametrize("ending", ["sd", "low", "high", "epistemic", "probability", "reports"])
def test_a_target_named_after_another_one(ending):
    with pytest.raises(SpecError, match=rf"target 'a_{ending}' has the name of .* of 'a'"):
        ModelSpec(targets={"a": None, f"a_{ending}": None})
    assert ModelSpec(targets={f"a_{ending}": None}).target_names == (f"a_{ending}",)


def test_a_target_named_like_an_experts_coefficient_of_another():
    expert = {"prior": {"logistic": {"omega": 1}}}
    for clash in ("a_omega", "a_intercept"):
        with pytest.raises(SpecError, match=f"target '{clash}' has the name of a site"):
            ModelSpec(targets={"a": expert, clash: None})


def test_a_condition_named_like_a_target():
    with pytest.raises(SpecError, match="has the condition 'b', which is a target"):
        ModelSpec(targets={"b": None, "a": NUMBER | {"conditions": {"b": 1}}})


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (["fcc", "nan"], "how tables write that there is no number"),
        (["fcc", "-Inf"], "how tables write that there is no number"),
        (["fcc", ""], "is empty"),
        (["fcc", " bcc"], "begins or ends with white space"),
        (["fcc", "<script>alert(1)</script>"], "looks like HTML"),
        (["fcc", "=cmd|'/c calc'!A0"], "begins like a formula of a spreadsheet"),
        (["fcc", "+SUM(A1)"], "begins like a formula of a spreadsheet"),
        (["fcc", "b\x00cc"], "cannot be printed"),
        (["fcc", "b" * 81], "at most 80"),
        (["1", "1.0"], "a name stands twice"),
        (["fcc", "fcc"], "a name stands twice"),
    ],
)
@pytest.mark.parametrize(("kind", "key"), [("categorical", "classes"), ("ordinal", "levels")])
def test_a_class_that_no_label_could_name(kind, key, classes, reason):
    with pytest.raises(SpecError, match=rf"targets.a.*{key}: .*{reason}"):
        ModelSpec(targets={"a": {"kind": kind, key: classes}})


@pytest.mark.parametrize("name", ["FCC + BCC", "B2", "<5 %", "-1", "L1₂", "σ & χ"])
def test_classes_that_are_common(name):
    assert ModelSpec(targets={"a": {"kind": "categorical", "classes": ["x", name]}})


@pytest.mark.parametrize("place", ["unit", "conditions"])
def test_html_elsewhere(place):
    html = "<img src=x onerror=alert(1)>"
    with pytest.raises(SpecError, match="looks like HTML"):
        ModelSpec(targets={"a": NUMBER | {place: html if place == "unit" else {html: 1}}})


def test_an_unknown_target_is_asked_for():
    with pytest.raises(UnknownTargetError, match=r"'hardnes' is no target\. Did you mean 'hardn"):
        ModelSpec(targets={"hardness": NUMBER}).target("hardnes")


@pytest.mark.parametrize(
    "data",
    [
        {"targets": {"a": {"given": ["b"], "kind": "categorical", "classes": ["x", "y"]}}},
        {"targets": {"a": {"kind": "categorical", "classes": ["x", "y"], "only": {1: 2}}}},
        {
            "targets": {
                "b": None,
                "a": {
                    "kind": "categorical",
                    "classes": ["x", "y"],
                    "given": ["b"],
                    "only": {1: 2, "b": {0: ["x"], 1: 3}},
                },
            }
        },
        {"targets": {"a": {"reports": {"sources": {1: 2}}}}},
        {"targets": {"a": NUMBER | {"conditions": {7: "x"}}}},
        {"likelihood": {"total_count": 10**400}},
        {"likelihood": {"kind": "hurdle", "presence_count": 10**400}},
        {"training": {"epochs": 10**400}},
        {"training": {"weight_decay": 1e200}},
    ],
)
def test_faults_under_keys_that_are_no_text_are_told_as_any_other(data):
    with pytest.raises(SpecError, match=r"^spec: (targets|likelihood|training)"):
        ModelSpec.from_mapping(data)


class TestOrder:
    def test_of_many_targets_each_given_two_others_is_found_at_once(self):
        targets = tuple(
            Binary(name=f"a{i}", given=tuple(f"a{j}" for j in range(max(0, i - 2), i)))
            for i in range(2000)
        )
        start = time.thread_time()
        assert in_order(targets[::-1]) == targets
        assert time.thread_time() - start < 2

    def test_names_the_cycle(self):
        with pytest.raises(SpecError, match="in a cycle: a -> b -> c -> a; break it in given"):
            ModelSpec(
                targets={"a": {"given": "b"}, "b": {"given": "c"}, "c": {"given": "a"}, "d": None}
            )


def test_names_of_independent_targets_pass():
    check_names_of_targets(["yield_strength", "yield_strength_hot", "low"], {})


class TestLogarithm:
    @pytest.mark.parametrize("prior", [{"loc": 6000, "scale": 1000}, {"loc": 500, "scale": 100}])
    def test_of_a_prior_in_raw_units(self, prior):
        prior = {"dist": "Normal", **prior}
        with pytest.raises(
            SpecError,
            match=r"prior of `a` is of the logarithm \(transform: log\), and .* reaches to exp"
            r"\(.*for values near .* HV write their logarithm, .*, or write transform: identity",
        ):
            ModelSpec(targets={"a": NUMBER | {"unit": "HV", "prior": prior}})

    def test_of_tails_that_are_heavy_is_no_fault(self):
        cauchy = {"dist": "Cauchy", "loc": 6, "scale": 1}
        assert ModelSpec(targets={"a": NUMBER | {"prior": cauchy}})
