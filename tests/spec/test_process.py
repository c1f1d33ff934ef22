import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_hea.spec import ModelSpec
from pyro_hea.spec.process import generative_process

FOUR = {
    "targets": {
        "single_phase": {
            "prior": {"rule": "hume_rothery", "omega_min": 1.1},
            "reports": {"sources": {"borg": {"right": 19, "wrong": 1}}},
        },
        "phase": {
            "kind": "categorical",
            "classes": ["fcc", "bcc", "several"],
            "given": ["single_phase"],
            "only": {"single_phase": {0: ["several"], 1: ["fcc", "bcc"]}},
        },
        "rating": {
            "kind": "ordinal",
            "levels": ["low", "high"],
            "prior": {"dist": "Categorical", "probs": [0.25, 0.75]},
        },
        "ductile": {
            "prior": {
                "logistic": {"omega": 0.5, "mixing_entropy": {"dist": "HalfNormal", "scale": 1}}
            }
        },
        "hardness": {
            "kind": "continuous",
            "unit": "HV",
            "prior": {"dist": "Normal", "loc": 6, "scale": 0.5},
            "given": ["phase"],
            "conditions": {"test_temperature": 25},
        },
    },
    "latent": {"prior": {"dist": "Mixture", "components": 3}},
    "likelihood": {"kind": "hurdle"},
}


def process_of(**changes):
    return generative_process(ModelSpec.from_mapping({**FOUR, **changes}))


def line(process, site):
    (found,) = [line for line in (*process.shared, *process.alloy) if line.site == site]
    return found


@pytest.fixture(scope="module")
def process():
    return process_of()


def relations(spec):
    """Sites of the program itself, each with those that it depends on."""
    from pyro_hea.posterior.graph import model_graph

    source = model_graph(spec).source
    sites = set(re.findall(r"^\t+(\w+) \[label=\1 ", source, re.MULTILINE))
    return sites, set(re.findall(r"^\t(\w+) -> (\w+)$", source, re.MULTILINE))


@pytest.mark.parametrize("data", [{}, FOUR], ids=["default", "every kind"])
def test_has_the_sites_of_the_program_and_their_dependences(data):
    spec = ModelSpec.from_mapping(data)
    told = generative_process(spec)
    sites, edges = relations(spec)
    lines = [line for line in (*told.shared, *told.alloy) if line.sign == "~"]
    assert {line.site for line in lines} == sites
    stands_for = {"y": told.targets, "w": ("z",)}
    depends = set()
    for line_ in lines:
        for parent in line_.given:
            for name in stands_for.get(parent, (parent,)):
                many = [s.site for s in told.shared if s.site.startswith(name.removesuffix("*"))]
                names = many if name.endswith("*") else [name] if name in sites else []
                depends |= {(name, line_.site) for name in names}
    assert depends == edges


def test_names_each_distribution_and_its_setting(process):
    assert line(process, "single_phase").text == (
        "Bernoulli(log odds 2 if atomic_size_difference ≤ 6.6 and -15 ≤ mixing_enthalpy ≤ 5 and "
        "1.1 ≤ omega, else -2)"
    )
    assert line(process, "single_phase_reliability").text == (
        "Dirichlet, for each source and true class (a source: 9 right, 1 wrong; borg: 19 right, "
        "1 wrong)"
    )
    assert line(process, "phase").text == (
        "Categorical(fcc, bcc, several: equal), moved by learnt weights; several where "
        "single_phase is 0; fcc, bcc where single_phase is 1"
    )
    assert line(process, "rating").text == "OrderedLogistic(low: 0.25, high: 0.75)"
    assert line(process, "ductile_mixing_entropy") == (
        "ductile_mixing_entropy",
        (),
        "~",
        "HalfNormal(scale=1)",
        "targets.ductile.prior.logistic.mixing_entropy",
    )
    assert line(process, "hardness").left == "hardness | phase, test_temperature"
    assert line(process, "hardness").text == (
        "exp Normal(loc=6, scale=0.5) HV, moved by learnt weights"
    )
    assert line(process, "z").text == "learnt mixture of 3 normals over 8 coordinates"
    assert line(process, "composition").text == (
        "Bernoulli for presence, then Multinomial(100 atoms); decoder(w, y)"
    )


@pytest.mark.parametrize(
    ("changes", "site", "said"),
    [
        ({"latent": {"prior": {"dist": "VampPrior"}, "flow": None}}, "z", "mean posterior of 20"),
        ({"latent": {"prior": {"dist": "Flow"}}}, "z", "normal through 4 learnt couplings"),
        (
            {"latent": {"prior": {"dist": "Laplace", "loc": 0, "scale": 2}}},
            "z",
            "Laplace(loc=0, scale=2) for each of 8 coordinates",
        ),
        ({"latent": {"flow": None}}, "composition", "decoder(z, y)"),
        ({"likelihood": {"kind": "dirichlet"}}, "composition", "0.01 of the atoms spread evenly"),
        (
            {"likelihood": {"total_count": 50}},
            "composition",
            "Multinomial(50 atoms, decoder(w, y))",
        ),
    ],
)
def test_follows_the_spec(changes, site, said):
    assert said in line(process_of(**changes), site).text


def test_without_a_flow_there_is_no_w():
    assert "w" not in [line.site for line in process_of(latent={"flow": None}).alloy]


def test_targets_come_after_what_they_are_given():
    targets = {"hardness": FOUR["targets"]["hardness"], **FOUR["targets"]}
    order = process_of(targets=dict(reversed(targets.items()))).targets
    assert order.index("single_phase") < order.index("phase") < order.index("hardness")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(spec=st.from_type(ModelSpec))
def test_any_spec_can_be_told(spec):
    told = generative_process(spec)
    text = str(told)
    assert [name for name in spec.target_names if f"targets.{name}" not in text] == []
    assert {line.site for line in told.guide} <= {s.site for s in (*told.shared, *told.alloy)}
