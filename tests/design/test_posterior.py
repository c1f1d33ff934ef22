import re

import numpy as np
import pandas as pd
import pytest
import torch
from pyro import poutine
from scipy.special import rel_entr

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.design import (
    AllowedElements,
    DesignResult,
    ElementBounds,
    FeatureBounds,
    ForbiddenElements,
    LargestFraction,
    MaxElements,
    MinElements,
    Novel,
    RequiredElements,
    sample_designs,
    samplers,
)
from pyro_hea.design import wishes as wished
from pyro_hea.design.feasibility import feasible_region
from pyro_hea.design.problem import Problem, features_of
from pyro_hea.design.program import Candidates, design_program, draw_distinct
from pyro_hea.design.rounding import round_compositions
from pyro_hea.errors import (
    ConstraintError,
    DataError,
    DesignWarning,
    NotFittedError,
    OutputError,
    UnknownElementError,
    UnknownTargetError,
)
from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.features import FEATURES, FeatureMap
from pyro_hea.posterior import Ensemble
from pyro_hea.posterior.idata import groups_of
from pyro_hea.program.model import AlloyModel

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not")

WISH = {"single_phase": 1}
PREDICTED = [
    f"single_phase{part}" for part in ("", "_sd", "_low", "_high", "_epistemic", "_aleatoric")
]


@pytest.fixture(scope="session")
def designs(vae) -> DesignResult:
    return vae.design(WISH, n=40, seed=5)


@pytest.fixture
def few_candidates(monkeypatch):
    """Give up sooner than a user would want."""
    monkeypatch.setattr(samplers, "_CANDIDATES", 256)
    monkeypatch.setattr(samplers, "_ROUNDS", 3)


def fractions_of(result, vae) -> pd.DataFrame:
    return result.table[list(vae.ensemble.elements)]


class TestTable:
    def test_has_the_columns_of_the_contract(self, designs, vae):
        elements = list(vae.ensemble.elements)
        assert list(designs.table) == [
            *("all_wishes", "all_wishes_low", "all_wishes_high"),
            *("single_phase", "single_phase_low", "single_phase_high"),
            *elements,
            *("single_phase_sd", "single_phase_epistemic", "single_phase_aleatoric"),
            *("all_wishes_sd", "novelty", "known"),
        ]
        assert designs.table.index.name == "formula"
        assert len(designs) == 40

    def test_alloys_are_distinct_and_formulas_say_what_they_are(self, designs, vae):
        fractions = fractions_of(designs, vae)
        assert not fractions.duplicated().any()
        assert fractions.index.is_unique
        read = fraction_table(list(fractions.index), elements=list(fractions.columns))
        pd.testing.assert_frame_equal(read, fractions, rtol=0, atol=1e-5)
        assert [format_formula(formula) for formula in fractions.index] == list(fractions.index)

    def test_alloys_are_rounded_compositions(self, designs, vae):
        fractions = fractions_of(designs, vae).to_numpy()
        np.testing.assert_allclose(fractions.sum(1), 1, atol=1e-9)
        np.testing.assert_allclose(fractions * 200, (fractions * 200).round(), atol=1e-9)
        assert fractions[fractions > 0].min() >= 0.01 - 1e-9

    @pytest.mark.parametrize(("step", "min_fraction"), [(0.01, 0.03), (0.05, 0.0), (0.001, 0.002)])
    def test_step_and_minimum_are_those_asked_for(self, vae, step, min_fraction):
        fractions = fractions_of(
            vae.design(WISH, n=20, step=step, min_fraction=min_fraction), vae
        ).to_numpy()
        np.testing.assert_allclose(fractions.sum(1), 1, atol=1e-9)
        np.testing.assert_allclose(fractions / step, (fractions / step).round(), atol=1e-6)
        assert fractions[fractions > 0].min() >= max(step, min_fraction) - 1e-9

    @pytest.mark.parametrize("wish", [0, 1])
    def test_the_most_probable_comes_first(self, vae, wish):
        p = vae.design({"single_phase": wish}, n=15).table["single_phase"]
        assert p.is_monotonic_decreasing if wish else p.is_monotonic_increasing

    def test_predictions_are_those_of_the_fractions_as_they_stand(self, designs, vae):
        fractions = fractions_of(designs, vae)
        pd.testing.assert_frame_equal(
            vae.predict(fractions), designs.table[PREDICTED], atol=1e-6, rtol=0
        )

    def test_predictions_are_those_of_the_formulas(self, designs, vae):
        pd.testing.assert_frame_equal(
            vae.predict(designs.formulas),
            designs.table[PREDICTED],
            atol=1e-4,  # a formula has six digits, and a bin of the embedding may be narrow
            rtol=0,
        )

    def test_novelty_is_the_distance_to_the_nearest_known_alloy(self, designs, vae):
        known = vae.ensemble.known
        for _, row in designs.table.iterrows():
            distances = {
                name: sum(abs(row[e] - alloy[e]) for e in known.columns) / 2
                for name, alloy in known.iterrows()
            }
            assert row["novelty"] == pytest.approx(min(distances.values()), abs=1e-12)
            assert distances[row["known"]] == pytest.approx(row["novelty"], abs=1e-12)

    def test_a_known_alloy_is_not_new(self, vae):
        known = vae.ensemble.known.loc["AlCrFeNi"]
        only = [Novel(0), *(ElementBounds(e, x, x) for e, x in known.items())]
        row = vae.design(WISH, only, n=1)[0]
        assert row.name == row["known"] == "AlCrFeNi"
        assert row["novelty"] == pytest.approx(0, abs=1e-12)

    def test_designs_of_one_phase_are_predicted_so_more_than_those_of_several(self, vae):
        several, one = (vae.design({"single_phase": y}, n=40).table["single_phase"] for y in (0, 1))
        assert one.mean() > several.mean() + 0.2
        assert one.median() > several.max()

    def test_to_insist_more_makes_designs_more_probable(self, vae):
        mild, firm = (vae.design(WISH, n=40, agreement=k).table["single_phase"] for k in (0, 30))
        assert firm.mean() > mild.mean() + 0.1


class TestConstraints:
    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.usefixtures("few_candidates")
    def test_no_design_violates_any(self, vae, seed):
        constraints = random_constraints(np.random.default_rng(seed), vae.ensemble.elements)
        table = vae.design(WISH, constraints, n=3, seed=seed).table
        fractions = table[list(vae.ensemble.elements)].to_numpy()
        features = features_of(fractions, vae.ensemble)
        region = feasible_region(constraints, vae.ensemble.elements)
        for constraint in constraints:
            assert constraint.holds(fractions, features, region).all(), constraint
        np.testing.assert_allclose(fractions.sum(1), 1, atol=1e-9)
        assert fractions[fractions > 0].min() >= 0.01 - 1e-9

    def test_several_kinds_together_hold(self, vae):
        result = vae.design(
            WISH,
            [
                AllowedElements("Al", "Co", "Cr", "Fe", "Ni"),
                RequiredElements("Al"),
                ElementBounds("Co", 0, 0.05),
                LargestFraction(0.4),
                MinElements(4),
                MaxElements(5),
            ],
            n=20,
        )
        fractions = fractions_of(result, vae)
        assert (fractions[["Cu", "Mn", "Ti"]] == 0).all(axis=None)
        assert (fractions["Al"] >= 0.01 - 1e-9).all()
        assert (fractions["Co"] <= 0.05 + 1e-9).all()
        assert (fractions <= 0.4 + 1e-9).all(axis=None)
        assert (fractions > 0).sum(axis=1).isin([4, 5]).all()

    def test_feature_bounds_hold_on_the_reported_alloys(self, vae):
        bounds = [
            FeatureBounds("mixing_enthalpy", -5, 0),
            FeatureBounds("valence_electron_concentration", high=8.2),
            FeatureBounds("number_of_elements", 4, 6),
        ]
        fractions = fractions_of(vae.design(WISH, bounds, n=20), vae)
        names = [bound.feature for bound in bounds]
        features = FeatureMap(names, vae.ensemble.tables, vae.ensemble.elements)
        for bound, values in zip(
            bounds, features(torch.tensor(fractions.to_numpy())).T, strict=True
        ):
            assert ((values >= bound.low) & (values <= bound.high)).all()

    def test_features_that_the_head_does_not_read_can_be_bounded(self, vae):
        assert "mixing_entropy_published" not in vae.ensemble.feature_map.names
        table = vae.design(WISH, [FeatureBounds("mixing_entropy_published", 11)], n=5).table
        x = table[list(vae.ensemble.elements)].to_numpy()
        assert (-8.314 * (x * np.log(x + 1.19e-7)).sum(1) >= 11).all()

    def test_constraints_that_are_read_only_once_hold_as_well(self, vae):
        once = (FeatureBounds("mixing_enthalpy", low, 0) for low in (-5, -3))
        table = vae.design(WISH, once, n=20).table
        values = features_of(table[list(vae.ensemble.elements)].to_numpy(), vae.ensemble)
        assert values["mixing_enthalpy"].between(-3, 0).all()


def random_constraints(rng, elements):
    """A few constraints that can be satisfied together."""
    while True:
        some = rng.permutation(elements)
        wishes = [
            AllowedElements(*some[: rng.integers(4, 8)]),
            RequiredElements(*some[: rng.integers(1, 3)]),
            ForbiddenElements(some[7]),
            ElementBounds(some[0], round(rng.uniform(0, 0.2), 2), round(rng.uniform(0.25, 0.6), 3)),
            ElementBounds(some[3], 0, round(rng.uniform(0.02, 0.4), 3)),
            LargestFraction(round(rng.uniform(0.35, 0.7), 2)),
            MinElements(int(rng.integers(2, 4))),
            MaxElements(int(rng.integers(3, 7))),
            FeatureBounds("mixing_enthalpy", high=0.0),
        ]
        chosen = [wish for wish in wishes if rng.random() < 0.5]
        try:
            feasible_region(chosen, elements, 0.01, 0.005)
        except ConstraintError:
            continue
        return chosen


class TestSeeds:
    def test_the_same_seed_gives_the_same_designs(self, designs, vae):
        again = vae.design(WISH, n=40, seed=5)
        pd.testing.assert_frame_equal(again.table, designs.table, check_exact=True)
        assert again.idata.posterior.equals(designs.idata.posterior)
        assert again.attributes == designs.attributes

    def test_another_seed_gives_others(self, designs, vae):
        other = vae.design(WISH, n=40, seed=6)
        assert {*other.formulas} != {*designs.formulas}

    def test_the_callers_random_numbers_stay_as_they_were(self, vae, numpy_state):
        state, legacy = torch.get_rng_state(), numpy_state()
        vae.design(WISH, n=2, seed=3)
        assert torch.equal(torch.get_rng_state(), state)
        assert numpy_state() == legacy

    def test_the_callers_random_numbers_do_not_matter(self, designs, vae):
        with torch.random.fork_rng([]):
            torch.manual_seed(99)
            again = vae.design(WISH, n=40, seed=5)
        assert again.table.equals(designs.table)


class Judged(Ensemble):
    """An ensemble whose members judge an alloy by one feature alone, each in its own way."""

    slopes = (4.0, 1.0)
    centre = 2.5

    @property
    def _column(self) -> int:
        return self.feature_map.names.index("atomic_size_difference")

    def head_probabilities(self, features):
        slopes = torch.tensor(self.slopes, dtype=features.dtype)[:, None]
        return {"single_phase": torch.sigmoid(slopes * (features[..., self._column] - self.centre))}

    def agreement(self, fractions: np.ndarray) -> np.ndarray:
        """Mean over the members of the probability of one phase, alloy by alloy."""
        size = self.feature_map(torch.tensor(fractions)).numpy()[:, self._column]
        odds = [np.exp(slope * (size - self.centre)) for slope in self.slopes]
        return np.mean([o / (1 + o) for o in odds], axis=0)


@pytest.fixture
def judged(vae, monkeypatch) -> Judged:
    e = vae.ensemble
    judged = Judged(e.model, e.elements, e.known, e.seed)

    def joint_probability(model, batch, events):
        q = judged.head_probabilities(batch.features)["single_phase"]
        return q if events["single_phase"] == (1,) else 1 - q

    monkeypatch.setattr(wished, "joint_probability", joint_probability)
    return judged


def problem_of(ensemble, targets=WISH, constraints=(), kappa=1.0):
    return Problem.of(ensemble, targets, (*constraints, Novel(0)), agreement=kappa)


class TestDesignPosterior:
    """π(z) ∝ p(z) q(y* | φ(x(z)))^κ C(x(z)), with x the rounded composition."""

    @pytest.mark.parametrize("wish", [0, 1])
    def test_agreement_is_the_mean_over_all_members_of_each_alloy(self, judged, wish):
        problem = problem_of(judged, {"single_phase": wish}, kappa=2.0)
        with torch.random.fork_rng([]), torch.no_grad():
            trace = poutine.trace(design_program).get_trace(problem, 50)
        alloys = trace.nodes["composition"]["value"].double()
        factors = trace.nodes["agreement"]["fn"].log_factor.expand(2, 50)
        for of_member, given in zip(alloys, factors, strict=True):
            p = judged.agreement(of_member.numpy())
            expected = 2.0 * np.log(p if wish else 1 - p)
            np.testing.assert_allclose(given.numpy(), expected, atol=1e-4)

    def test_agreement_is_that_of_the_prediction(self, vae):
        with torch.random.fork_rng([]), torch.no_grad():
            trace = poutine.trace(design_program).get_trace(problem_of(vae.ensemble), 50)
        alloys = trace.nodes["composition"]["value"].flatten(0, 1).numpy()
        predicted = vae.predict(pd.DataFrame(alloys, columns=list(vae.ensemble.elements)))
        factor = trace.nodes["agreement"]["fn"].log_factor.expand(2, 50).flatten()
        np.testing.assert_allclose(factor.exp(), predicted["single_phase"], atol=1e-5)

    def test_each_member_decodes_its_own_latents(self, vae):
        problem = problem_of(vae.ensemble)
        with torch.random.fork_rng([]), torch.no_grad():
            trace = poutine.trace(design_program).get_trace(problem, 30)
        z, alloys = (trace.nodes[site]["value"] for site in ("z", "composition"))
        assert z.shape == (2, 30, 2)
        for member in range(2):
            decoded = vae.decode(z[member].numpy(), WISH, member=member).to_numpy(float)
            expected, _ = round_compositions(decoded, problem.region, 0.005, 0.01)
            # a remainder may fall to the other side in another batch
            assert np.abs(alloys[member].numpy() - expected).max() < 0.006

    def test_sites_are_those_of_the_design(self, vae):
        with torch.random.fork_rng([]), torch.no_grad():
            trace = poutine.trace(design_program).get_trace(problem_of(vae.ensemble), 7)
        sites = {n: node for n, node in trace.nodes.items() if node["type"] == "sample"}
        assert {"z", "composition", "agreement", "constraints"} <= set(sites)
        assert sites["composition"]["value"].shape == (2, 7, 8)
        assert {"members", "designs"} <= set(sites)

    def test_z_of_a_design_is_that_from_which_it_is_decoded(self, designs, vae):
        draws = designs.idata.posterior
        for draw in range(10):
            member = int(draws["member"][0, draw])
            decoded = vae.decode(draws["z"][0, draw].to_numpy(), WISH, member=member)
            rounded, _ = round_compositions(
                decoded.to_numpy(float), problem_of(vae.ensemble).region, 0.005, 0.01
            )
            assert np.abs(rounded[0] - draws["composition"][0, draw].to_numpy()).max() < 0.006

    @pytest.mark.parametrize("kappa", [1.0, 6.0])
    def test_designs_are_distributed_as_numerical_integration_says(
        self, judged, monkeypatch, kappa
    ):
        wishes = [MaxElements(5)]
        problem = problem_of(judged, constraints=wishes, kappa=kappa)
        line = torch.linspace(-4, 4, 81)
        z = torch.cartesian_prod(line, line)
        decoded = judged.decode(z.expand(2, *z.shape), WISH).flatten(0, 1).double().numpy()
        alloys, possible = round_compositions(decoded, problem.region, 0.005, 0.01)
        alloys, decoded = alloys[possible], decoded[possible]
        density = torch.exp(-z.square().sum(1) / 2).double().numpy()
        prior = np.tile(density, 2)[possible]
        bent = rel_entr(alloys, np.maximum(decoded, 1e-5)).sum(1)
        weight = prior * judged.agreement(alloys) ** kappa * (1 + 20 * bent) ** -5

        monkeypatch.setattr(samplers, "_CANDIDATES", 32768)
        monkeypatch.setattr(samplers, "_FEWEST", 32768)
        n = 520
        result = sample_designs(judged, WISH, wishes, n=n, seed=1, agreement=kappa)
        drawn = result.table[list(judged.elements)].to_numpy()
        assert result.attributes["effective_sample_size"] > 8 * n  # distinct costs little

        for name in ("atomic_size_difference", "melting_temperature", "largest_fraction"):
            on_grid, of_draws = (features_of(x, judged)[name].to_numpy() for x in (alloys, drawn))
            mean = np.average(on_grid, weights=weight)
            sd = np.sqrt(np.average((on_grid - mean) ** 2, weights=weight))
            assert abs(of_draws.mean() - mean) < 4 * sd / np.sqrt(n), name
            share = np.average(on_grid > mean, weights=weight)
            error = np.sqrt(share * (1 - share) / n)
            assert abs((of_draws > mean).mean() - share) < 4 * error, name
        # What is tested is not the prior.
        size, wished = (features_of(x, judged)["atomic_size_difference"] for x in (alloys, drawn))
        assert wished.mean() - np.average(size, weights=prior) > 8 * wished.std() / np.sqrt(n)

    def test_distinct_alloys_are_drawn_in_proportion_to_all_their_weight(self):
        # Alloy 0 stands thrice; with 1 and 2 the weights are 3 × 1, 2 and 5 of 10; 3 is impossible.
        alloy = np.array([0, 1, 0, 2, 0, 3])
        candidates = Candidates(
            z=np.zeros((6, 2)),
            fractions=np.eye(4)[alloy],
            log_weight=np.log(np.array([1, 2, 1, 5, 1, 1])) + np.r_[[0.0] * 5, -np.inf],
            member=np.zeros(6, int),
            holds={},
        )
        runs = 3000
        orders = [alloy[draw_distinct(candidates, 9, seed)] for seed in range(runs)]
        assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
        first = np.bincount([order[0] for order in orders], minlength=4) / runs
        np.testing.assert_allclose(first, [0.3, 0.2, 0.5, 0], atol=4 * np.sqrt(0.25 / runs))
        second = np.mean([order[1] == 2 for order in orders])
        assert second == pytest.approx(0.3 * 5 / 7 + 0.2 * 5 / 8, abs=4 * np.sqrt(0.25 / runs))


@pytest.fixture(scope="session")
def two_targets(vae) -> Ensemble:
    """Untrained members of two targets."""
    small = {"hidden": (8,)}
    spec = ModelSpec(
        targets={"single_phase": {}, "ductile": {}},
        latent={"dim": 2, "flow": None},
        head=small,
        encoder=small,
        decoder=small,
        training={"members": 2},
    )
    e = vae.ensemble
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = AlloyModel(spec, len(e.elements), e.model.statistics)
    return Ensemble(model.eval(), e.elements, e.known, 0)


class TestTwoTargets:
    def test_every_wish_counts(self, two_targets):
        table = sample_designs(two_targets, {"single_phase": 1, "ductile": 0}, n=5, seed=0).table
        wish = table["single_phase"] * (1 - table["ductile"])
        # the members' mean of a product is near the product of their means, and is no less exact
        np.testing.assert_allclose(table["all_wishes"], wish, atol=0.05)
        assert table["all_wishes"].is_monotonic_decreasing
        assert {"ductile_sd", "ductile_low", "ductile_high"} <= set(table)

    def test_a_target_may_be_left_open(self, two_targets):
        result = sample_designs(two_targets, {"ductile": 1}, n=5, seed=0)
        assert result.table["ductile"].is_monotonic_decreasing
        assert {"single_phase", "ductile"} <= set(result.idata.posterior)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"targets": {}}, ConstraintError, r"at least one target.*single_phase"),
            ({"targets": {"single_fase": 1}}, UnknownTargetError, "Did you mean 'single_phase'"),
            ({"targets": {"hardness": 1}}, UnknownTargetError, "Targets: single_phase"),
            ({"targets": {"single_phase": 0.5}}, ConstraintError, "'single_phase' is 0 or 1, not"),
            ({"targets": {"single_phase": 2}}, ConstraintError, "is 0 or 1, not 2"),
            ({"targets": {"single_phase": "yes"}}, ConstraintError, "is 0 or 1, not 'yes'"),
            ({"targets": {"single_phase": np.nan}}, ConstraintError, "is 0 or 1, not nan"),
            ({"n": 0}, ConstraintError, "n=0 is not allowed; .* at least one"),
            ({"n": -3}, ConstraintError, "n=-3 is not allowed"),
            ({"step": 0}, ConstraintError, "step=0 is not allowed; 1 / step is a whole number"),
            ({"step": 0.03}, ConstraintError, "step=0.03 is not allowed"),
            ({"step": 5}, ConstraintError, "step=5 is not allowed"),
            ({"step": -0.01}, ConstraintError, "step=-0.01 is not allowed"),
            ({"min_fraction": 1.0}, ConstraintError, "min_fraction=1.0 is not allowed; .* below 1"),
            ({"min_fraction": -0.1}, ConstraintError, "min_fraction=-0.1 is not allowed"),
            ({"method": "magic"}, DataError, "no method 'magic'; allowed: 'importance'"),
            (
                {"constraints": [RequiredElements("Xe")]},
                UnknownElementError,
                "no training alloy holds 'Xe'.* Al, Co, Cr",
            ),
            (
                {"constraints": [RequiredElements("Co"), ForbiddenElements("Co"), MaxElements(5)]},
                ConstraintError,
                r"RequiredElements\('Co'\), ForbiddenElements\('Co'\): a required element",
            ),
            ({"constraints": ["MaxElements(5)"]}, ConstraintError, "is no constraint; use Allowed"),
            ({"constraints": MaxElements(5)}, ConstraintError, r"write \[MaxElements"),
            (
                {"constraints": [ElementBounds("Co", 0.201, 0.204)]},
                ConstraintError,
                r"ElementBounds\(element='Co'.*in steps of 0\.005",
            ),
        ],
    )
    def test_what_cannot_be_asked_is_named(self, vae, options, error, message):
        with pytest.raises(error, match=message):
            vae.design(**{"targets": WISH, "n": 2} | options)

    @pytest.mark.usefixtures("few_candidates")
    def test_features_that_no_alloy_has_are_refused_with_the_share_that_satisfies_each(self, vae):
        bounds = [FeatureBounds("mixing_enthalpy", 300), MaxElements(8)]
        message = (
            "none of 256 candidates satisfies every constraint. Share that satisfies each: "
            "FeatureBounds('mixing_enthalpy', low=300): 0.0%, MaxElements(count=8): 100.0%, "
            "MinElements(count=3): 100.0%, Novel("
        )
        with pytest.raises(ConstraintError, match=re.escape(message)):
            vae.design(WISH, bounds, n=2)

    def test_an_untrained_model_designs_nothing(self):
        with pytest.raises(NotFittedError, match="not trained yet"):
            DisentangledVAE().design(WISH, n=1)


class TestTooFew:
    @pytest.mark.usefixtures("few_candidates")
    def test_fewer_than_asked_for_are_returned_with_a_warning_that_counts(self, vae):
        three = [AllowedElements("Co", "Ni"), ElementBounds("Co", 0.5, 0.51), Novel(0)]
        with pytest.warns(DesignWarning, match=r"3 of 5 designs were found among \d+ candidates"):
            table = vae.design(WISH, three, n=5).table
        assert sorted(table["Co"]) == [0.5, 0.505, 0.51]

    def test_as_many_as_asked_for_come_without_a_warning(self, vae):
        three = [AllowedElements("Co", "Ni"), ElementBounds("Co", 0.5, 0.51), Novel(0)]
        assert len(vae.design(WISH, three, n=3)) == 3

    def test_the_search_goes_on_while_too_few_distinct_alloys_are_found(self, vae):
        pairs = [AllowedElements("Co", "Ni"), RequiredElements("Co", "Ni")]  # 197 alloys
        designs = vae.design(WISH, pairs, n=160)
        assert len(designs) == 160
        assert designs.attributes["candidates"] > 16 * 160  # of one round


class TestResult:
    def test_repr_counts_alloys_and_candidates(self, designs):
        assert re.fullmatch(
            r"DesignResult\(40 alloys from \d+ candidates, \d+% of them discarded; "
            r"assumed: MinElements\(count=3\), Novel\(distance=0.02\)\)",
            repr(designs),
        )

    def test_html_shows_the_alloys_without_empty_columns(self, vae):
        html = vae.design(WISH, [AllowedElements("Co", "Ni")], n=3)._repr_html_()
        assert "DesignResult(3 alloys" in html
        assert html.count("<tr") == 4
        assert "<th>Co</th>" in html
        assert "<th>Ti</th>" not in html

    def test_csv_reads_back_as_the_table(self, designs, tmp_path):
        designs.to_csv(tmp_path / "designs.csv")
        read = pd.read_csv(tmp_path / "designs.csv", index_col="formula")
        pd.testing.assert_frame_equal(read, designs.table, rtol=1e-5, atol=1e-6, check_dtype=False)

    def test_csv_is_the_same_to_the_byte_for_the_same_seed(self, designs, vae, tmp_path):
        designs.to_csv(tmp_path / "a.csv")
        vae.design(WISH, n=40, seed=5).to_csv(str(tmp_path / "b.csv"))
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()

    @pytest.mark.parametrize("where", [".", "missing/designs.csv", "file/designs.csv"])
    def test_a_path_that_cannot_be_written_is_named(self, designs, tmp_path, where):
        (tmp_path / "file").write_text("")
        path = tmp_path / where
        with pytest.raises(
            OutputError, match=f"cannot write into '{re.escape(str(path.parent))}': ."
        ):
            designs.to_csv(path)

    def test_idata_holds_the_designs_as_draws_of_one_chain(self, designs, vae):
        draws = designs.idata.posterior
        assert list(groups_of(designs.idata)) == ["posterior"]
        assert draws["z"].dims == ("chain", "draw", "latent")
        assert draws["composition"].dims == ("chain", "draw", "element")
        assert draws["single_phase"].dims == draws["member"].dims == ("chain", "draw")
        assert dict(draws.sizes) == {"chain": 1, "draw": 40, "latent": 2, "element": 8}
        assert list(draws["element"].to_numpy()) == list(vae.ensemble.elements)
        assert list(draws["latent"].to_numpy()) == ["z0", "z1"]
        assert set(draws["member"].to_numpy().ravel()) <= {0, 1}

    def test_idata_says_the_same_as_the_table(self, designs, vae):
        draws = designs.idata.posterior
        np.testing.assert_array_equal(draws["composition"][0], fractions_of(designs, vae))
        np.testing.assert_array_equal(draws["single_phase"][0], designs.table["single_phase"])

    def test_attributes_say_how_the_designs_were_drawn(self, designs):
        a = designs.attributes
        assert a["inference"] == "importance"
        assert a["seed"] == 5
        assert a["candidates"] >= 40
        assert 0 <= a["discarded"] < 1
        assert 1 <= a["effective_sample_size"] <= a["candidates"]
        assert a.items() <= designs.idata.posterior.attrs.items()

    def test_the_share_thrown_away_is_reported(self, vae):
        strict = [FeatureBounds("mixing_enthalpy", high=-5)]
        loose, tight = (vae.design(WISH, c, n=5).attributes["discarded"] for c in ([], strict))
        assert tight > loose
        assert tight > 0.05

    def test_every_feature_can_be_asked_of_alloys(self, vae):
        table = features_of(vae.ensemble.known.to_numpy()[:3], vae.ensemble)
        assert list(table) == list(FEATURES)
