"""Objectives: their values, the designs that are best in them, and the Pareto set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pyro import poutine

from pyro_hea.design import MaxElements, screen
from pyro_hea.design.constraints import indicators
from pyro_hea.design.objectives import Objective, non_dominated, ranked, split_objectives
from pyro_hea.design.problem import Problem
from pyro_hea.design.program import design_program, latents, log_factor
from pyro_hea.errors import ConstraintError, DataError, UnknownTargetError
from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.indicators import load_element_indicators
from pyro_hea.posterior.marginals import marginals

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not")

BOTH = {"lattice": "close", "hardness": "max", "density": "min"}


@pytest.fixture(scope="module")
def designs(many):
    return many.design(BOTH, [MaxElements(5)], n=40, seed=0)


def dominates(a, b):
    return (a >= b).all() and (a > b).any()


def test_no_row_of_the_front_is_beaten_and_every_other_is():
    scores = np.random.default_rng(0).normal(size=(60, 3)).round(1)
    expected = [not any(dominates(other, row) for other in scores) for row in scores]
    assert non_dominated(scores).tolist() == expected
    left, fronts = list(range(60)), []
    while left:
        front = [i for i in left if not any(dominates(scores[j], scores[i]) for j in left)]
        fronts.append(set(front))
        left = [i for i in left if i not in front]
    order = ranked(scores)
    for front in fronts:
        assert set(order[: len(front)]) == front
        order = order[len(front) :]
    assert list(ranked(scores, 7)) == list(ranked(scores)[:7])


def test_values_are_those_of_predict_and_of_the_mixture(many):
    alloys = ["CoCrNi", "AlTi"]
    x = many.ensemble.fractions(alloys).to_numpy(float)
    _, (hardness, single, density) = split_objectives(
        many.ensemble, {"hardness": "max", "single_phase": "min", "density": "min"}, {}
    )
    predicted = many.predict(alloys)
    np.testing.assert_allclose(hardness.values(x).mean(0), predicted["hardness"], rtol=1e-5)
    np.testing.assert_allclose(single.values(x).mean(0), predicted["single_phase"], rtol=1e-5)
    aluminium_titanium = (26.98 + 47.87) / (10.0 + 10.64)  # g/mol over cm3/mol
    assert density.values(x)[0, 1] == pytest.approx(aluminium_titanium, rel=0.01)
    melting = Objective("melting_temperature", "max", "K", many.ensemble)
    assert melting.values(x)[0, 1] == pytest.approx((933.5 + 1941) / 2, rel=0.01)
    known = many.ensemble.known.to_numpy(float)
    assert density.scores(known).mean() == pytest.approx(0, abs=1e-9)
    assert density.scores(known).std() == pytest.approx(1)
    assert (np.diff(density.scores(x)) * np.diff(density.values(x)[0]) < 0).all()


def test_the_factor_is_the_weighted_sum_of_the_scores(many):
    problem = Problem.of(many.ensemble, BOTH, agreement=3.0, with_objectives=True)
    torch.manual_seed(0)
    u = torch.randn(2, 5, problem.dim)
    given = poutine.condition(design_program, data=latents(problem, u))
    sites = poutine.trace(given).get_trace(problem, 5).nodes
    x = sites["composition"]["value"].flatten(0, 1).numpy()
    weights = (2.0 * u[..., -2:].double()).softmax(-1).view(-1, 2).numpy()
    scores = np.stack([objective.scores(x) for objective in problem.objectives], -1)
    factor = sites["objectives"]["fn"].log_factor.flatten().numpy()
    np.testing.assert_allclose(factor, 3.0 * (weights * scores).sum(-1), rtol=1e-6)
    others = Problem.of(many.ensemble, {"lattice": "close"}, agreement=3.0)
    assert others.dim == problem.dim - 2
    total = log_factor(problem, u).flatten() - sites["objectives"]["fn"].log_factor.flatten()
    rest = sites["agreement"]["fn"].log_factor + sites["constraints"]["fn"].log_factor
    assert (total - rest.flatten()).abs().max() < 50  # prior of z over its normal alone


def test_designs_are_better_in_an_objective_than_without_it(many):
    plain = many.design({"lattice": "close"}, n=30, seed=0)
    hard = many.design({"lattice": "close", "hardness": "max"}, n=30, seed=0).table
    light = many.design({"lattice": "close", "density": "min"}, n=30, seed=0).table
    hardness = plain.table["hardness"]
    assert hard["hardness"].mean() > hardness.mean() + hardness.std()
    found = Problem.of(many.ensemble, BOTH, with_objectives=True).objectives
    objectives = {objective.name: objective for objective in found}
    every = plain.fractions[list(many.ensemble.elements)].to_numpy(float)
    density = objectives["density"].values(every)[0]
    assert light["density"].mean() < density.mean() - density.std()
    assert (hard["all_wishes"] > 0.5).all()


def test_the_pareto_set_comes_first_and_is_what_no_other_design_beats(designs):
    table = designs.table
    scores = table[["hardness", "density"]].to_numpy() * [1, -1]
    best = [not any(dominates(other, row) for other in scores) for row in scores]
    front = designs.pareto()
    assert front.formulas == list(table.index[best])
    assert sorted(best, reverse=True) == best  # it stands first
    assert 1 < len(front) < len(designs)
    assert front.table["density"].max() > front.table["density"].min() + 0.1  # a trade-off
    assert {"hardness_low", "hardness_high", "density", "pareto"} <= set(front.table)
    assert table.attrs["units"]["density"] == "g/cm3"
    with pytest.raises(DataError, match="have no objectives"):
        _without_objectives(designs).pareto()


def _without_objectives(designs):
    return replace(designs, attributes={**designs.attributes, "objectives": ""})


def test_how_sure_the_pareto_set_is_is_the_share_of_the_members(many, designs):
    ensemble, x = many.ensemble, designs.fractions
    density = designs.table["density"].to_numpy()
    share = np.zeros(len(designs))
    for member in range(ensemble.members):
        features = ensemble.batch(x).features
        single = ensemble.of_member(member)
        batch = AlloyBatch(None, features, {}, {})
        hardness = marginals(single.model, batch, ["hardness"])["hardness"].medians()[0]
        scores = np.stack([hardness.numpy(), -density], -1)
        best = [not any(dominates(other, row) for other in scores) for row in scores]
        share += np.array(best) / ensemble.members
    np.testing.assert_allclose(designs.table["pareto"], share, atol=1e-9)


def test_two_objectives_are_drawn_with_the_pareto_set(designs):
    ax = designs.plot_pareto()
    assert ax.get_xlabel() == "hardness (HV)"
    assert ax.get_ylabel() == "density (g/cm3)"
    drawn = ax.containers[-1].lines[0].get_xydata()
    front = designs.pareto().table[["hardness", "density"]]
    np.testing.assert_allclose(drawn, front)
    with pytest.raises(DataError, match="have no objectives"):
        _without_objectives(designs).plot_pareto()


def test_an_indicator_is_an_objective_of_the_elements_that_have_it(vae, monkeypatch):
    table = load_element_indicators().drop("Mn")
    monkeypatch.setattr(indicators, "load_element_indicators", lambda: table)
    how = {"n": 20, "seed": 0, "min_probability": 0}
    cheap = vae.design({"single_phase": 1, "price_USD_kg": "min"}, **how)
    plain = vae.design({"single_phase": 1, "density": "min"}, **how)
    assert "IndicatorBounds('price_USD_kg')" in cheap.attributes["assumed"]
    assert (cheap.table["Mn"] == 0).all()
    assert cheap.table.attrs["units"]["price_USD_kg"] == "USD/kg"
    masses = load_tables("field").properties["atomic_mass"]
    elements = [e for e in cheap.fractions if e != "Mn"]
    mass = cheap.fractions[elements] * masses[elements]
    price = (mass * table["price_USD_kg"][elements]).sum(axis=1) / mass.sum(axis=1)
    np.testing.assert_allclose(cheap.table["price_USD_kg"], price)
    mass = plain.fractions[elements] * masses[elements]
    others = (mass * table["price_USD_kg"][elements]).sum(axis=1) / mass.sum(axis=1)
    assert price.mean() < others.mean()


def test_objectives_alone_are_enough(many):
    table = many.design({"hardness": "max"}, n=5, seed=0).table
    assert (table["all_wishes"] == 1).all()
    assert table["hardness"].min() > many.predict(many.ensemble.known)["hardness"].median()


@pytest.mark.parametrize(
    ("wishes", "options", "error", "message"),
    [
        ({"hardnes": "max"}, {}, UnknownTargetError, "Did you mean 'hardness'"),
        ({"hardness": "max"}, {"method": "nuts"}, ConstraintError, "method='importance'"),
        ({"hardness": "max"}, {"method": "svi"}, ConstraintError, "method='importance'"),
        ({"lattice": "max"}, {}, ConstraintError, "cannot be 'max'.*Allowed: open, close"),
    ],
)
def test_what_is_no_objective_is_refused(many, wishes, options, error, message):
    with pytest.raises(error, match=message):
        many.design(wishes, n=2, **options)


def test_workflows_that_rank_by_probability_refuse_them(many):
    with pytest.raises(ConstraintError, match=r"are for design\(\)"):
        screen(many.ensemble, {"hardness": "max"}, candidates=["CoNi"], progress=False)
    with pytest.raises(ConstraintError, match=r"are for design\(\)"):
        many.nearest("CoNi", {"hardness": "max"})
