"""Bounds on sums, ratios, distances, prices and densities, and the alloys that satisfy them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pyro_hea.design import (
    AllowedElements,
    Density,
    ElementBounds,
    FeatureBounds,
    ForbiddenElements,
    IndicatorBounds,
    LargestFraction,
    MaxElements,
    MaxPrice,
    MinElements,
    NearAlloy,
    Novel,
    Ratio,
    RequiredElements,
    Soft,
    SumBounds,
)
from pyro_hea.design.feasibility import feasible_region
from pyro_hea.design.rounding import round_compositions
from pyro_hea.errors import ConstraintError, FormulaError, UnknownElementError
from pyro_hea.materials.alloys.element_tables import load_tables

ELEMENTS = ("Al", "Co", "Cr", "Fe", "Mo", "Ni", "Pd", "Ti")
ANYWHERE = feasible_region([], ELEMENTS)
NO_FEATURES = pd.DataFrame()
STEP, MINIMUM = 0.005, 0.01


def excess(constraint, *alloys):
    rows = [[alloy.get(e, 0.0) for e in ELEMENTS] for alloy in alloys]
    return constraint.excess(np.array(rows), NO_FEATURES, ANYWHERE)


class TestExcess:
    def test_sum_of_elements_and_groups(self):
        c = SumBounds(["noble", "Co"], 0.1, 0.5)
        alloys = [{"Pd": 0.2, "Co": 0.4, "Ni": 0.4}, {"Pd": 0.05, "Ni": 0.95}, {"Co": 0.1}]
        np.testing.assert_allclose(excess(c, *alloys), [0.1, 0.05, 0.0], atol=1e-12)

    def test_ratio_needs_no_division(self):
        c = Ratio("Al", "Ni", 0.5, 2)
        alloys = [{"Al": 0.4, "Ni": 0.2}, {"Al": 0.1, "Ni": 0.4}, {"Co": 1.0}, {"Al": 0.3}]
        np.testing.assert_allclose(excess(c, *alloys)[[0, 2]], 0, atol=1e-12)
        assert (excess(c, *alloys)[[1, 3]] > 0.05).all()

    def test_an_indicator_is_the_mean_by_mass_and_of_elements_with_a_value(self):
        c = IndicatorBounds("price_USD_kg", low=3.0, high=20.0)
        # Al 1.6 USD/kg of 26.98 g/mol, Co 29.5 of 58.93; by mass 0.314 and 0.686 of AlCo
        region = feasible_region([c], ELEMENTS)
        rows = np.zeros((3, len(ELEMENTS)))
        rows[0, [ELEMENTS.index("Al"), ELEMENTS.index("Co")]] = 0.5
        rows[1, ELEMENTS.index("Al")] = 1.0
        rows[2, ELEMENTS.index("Co")] = 1.0
        excess = c.excess(rows, pd.DataFrame(), region)
        mean = (26.98 * 1.6 + 58.93 * 29.5) / (26.98 + 58.93)
        assert excess == pytest.approx([mean - 20, 3 - 1.6, 29.5 - 20], abs=0.01)
        unknown = feasible_region([IndicatorBounds("supply_risk")], ("Al", "Co", "Tc"))
        assert unknown.upper.tolist() == [1, 1, 0]  # technetium has no value
        x = np.array([[0.4, 0.4, 0.2]])
        assert np.isinf(IndicatorBounds("supply_risk").excess(x, pd.DataFrame(), unknown))

    def test_distance_from_an_alloy_is_the_share_of_atoms_exchanged(self):
        c = NearAlloy("CoNi", 0.2)
        alloys = [{"Co": 0.5, "Ni": 0.5}, {"Co": 0.3, "Ni": 0.7}, {"Co": 0.5, "Ni": 0.2, "Al": 0.3}]
        np.testing.assert_allclose(excess(c, *alloys), [0, 0, 0.1], atol=1e-12)

    def test_novelty_is_the_distance_from_the_nearest_known_alloy(self):
        known = np.array([[0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0.5, 0, 0.5, 0, 0]])
        region = feasible_region([], ELEMENTS, known=known)
        near, far = [0.49, 0.51, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0, 0, 0]
        missed = Novel(0.02).excess(np.array([near, far]), NO_FEATURES, region)
        np.testing.assert_allclose(missed, [0.01, 0], atol=1e-12)

    def test_density_of_iron_is_that_of_its_atoms(self):
        (missed,) = excess(Density(high=5), {"Fe": 1.0})
        assert missed == pytest.approx(55.845 / 7.1 - 5, abs=0.1)

    def test_price_is_per_kilogram(self):
        # 1 Fe : 1 Al by atoms is 55.85 : 26.98 by mass
        c = MaxPrice(2.0, {"Fe": 1.0, "Al": 7.0})
        (missed,) = excess(c, {"Fe": 0.5, "Al": 0.5})
        assert missed == pytest.approx((55.845 + 7 * 26.982) / (55.845 + 26.982) - 2, abs=1e-3)
        assert np.isinf(excess(c, {"Fe": 0.5, "Ni": 0.5})).all()

    def test_soft_constraints_forbid_nothing_and_cost(self):
        c = Soft(ElementBounds("Co", 0, 0), 100)
        assert excess(c, {"Co": 1.0}).tolist() == [0]
        x = np.array([[0, 0.05, 0, 0.95, 0, 0, 0, 0]])
        assert c.cost(x, NO_FEATURES, ANYWHERE) == pytest.approx([5.0])


class TestGroups:
    def test_stand_for_their_elements_that_the_model_knows(self):
        region = feasible_region([AllowedElements("refractory", "Al")], ELEMENTS)
        assert [e for e, u in zip(ELEMENTS, region.upper, strict=True) if u] == [
            "Al",
            "Cr",
            "Mo",
            "Ti",
        ]
        region = feasible_region([ForbiddenElements("3d")], ELEMENTS)
        assert [e for e, u in zip(ELEMENTS, region.upper, strict=True) if u] == ["Al", "Mo", "Pd"]

    def test_a_group_is_not_required_as_a_whole(self):
        with pytest.raises(ConstraintError, match=r"SumBounds\(\['noble'\], 0\.01\)"):
            feasible_region([RequiredElements("noble")], ELEMENTS)

    def test_a_group_of_which_the_model_knows_none_is_named(self):
        with pytest.raises(UnknownElementError, match=r"of the group 'noble' \(Ag, Au, "):
            feasible_region([AllowedElements("noble")], ("Co", "Ni"))


class TestMalformed:
    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: SumBounds("Co", 0.1), ConstraintError, "takes a list of elements"),
            (lambda: SumBounds(["Co"], 10, 50), ConstraintError, "not at.%"),
            (lambda: SumBounds(["Co"], 0.5, 0.1), ConstraintError, "above the upper"),
            (lambda: Ratio("Al", "Al", 1), ConstraintError, "ratio of two elements"),
            (lambda: Ratio("Al", "Ni", 2, 1), ConstraintError, "above the upper"),
            (lambda: NearAlloy("CoNi", 20), ConstraintError, "share of the atoms"),
            (lambda: NearAlloy("CoNj", 0.2), FormulaError, "'Nj'"),
            (lambda: Novel(2), ConstraintError, "share of the atoms"),
            (lambda: Density(9, 3), ConstraintError, "above the upper"),
            (lambda: MaxPrice(3, {}), ConstraintError, "needs prices"),
            (lambda: MaxPrice(3, {"Fe": -1}), ConstraintError, r"\{'Fe': -1\}"),
            (lambda: Soft(MaxElements(3), 0), ConstraintError, "a weight above 0"),
            (lambda: Soft("Co", 1), ConstraintError, "takes a constraint"),
        ],
    )
    def test_is_refused_with_what_is_allowed(self, make, error, message):
        with pytest.raises(error, match=message):
            make()


LINEAR_CLASHES = {
    "sum of what may not be": [SumBounds(["Co", "Ni"], 0.6), LargestFraction(0.25)],
    "ratio against bounds": [Ratio("Al", "Ni", 2), ElementBounds("Ni", 0.4)],
    "near an alloy of what is forbidden": [NearAlloy("CoNi", 0.2), ForbiddenElements("Co")],
    "two alloys too far apart": [NearAlloy("CoNi", 0.2), NearAlloy("FeTi", 0.2)],
    "too many elements for the distance": [NearAlloy("Co", 0.02), MinElements(4)],
    "light and heavy": [Density(high=4), SumBounds(["noble"], 0.5)],
    "dear": [MaxPrice(1.0, {"Co": 30, "Ni": 15, "Fe": 0.1}), ElementBounds("Co", 0.3)],
    "a ratio that no steps make": [
        Ratio("Al", "Ni", 1.001, 1.002),
        RequiredElements("Al"),
    ],
}


class TestClashes:
    @pytest.mark.parametrize("clash", LINEAR_CLASHES.values(), ids=LINEAR_CLASHES)
    def test_are_refused_by_name(self, clash):
        bystanders = [MinElements(1), ElementBounds("Ti", 0, 0.9)]
        with pytest.raises(ConstraintError) as refusal:
            feasible_region([*bystanders, *clash], ELEMENTS, MINIMUM, STEP)
        named = ", ".join(map(repr, clash))
        assert str(refusal.value).startswith(f"no alloy satisfies {named}: no amounts within")

    def test_a_mean_feature_that_no_alloy_has_is_refused(self):
        table = load_tables("field").properties.loc[list(ELEMENTS)]
        cold = FeatureBounds("melting_temperature", 0, 300)
        with pytest.raises(ConstraintError, match="'melting_temperature'"):
            feasible_region([cold], ELEMENTS, MINIMUM, STEP, properties=table)
        feasible_region(
            [cold], ELEMENTS, MINIMUM, STEP
        )  # unknown without the elements' temperatures


@st.composite
def linear_sets(draw):
    symbols = st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4, unique=True)
    percent = st.integers(0, 20).map(lambda k: k / 20)
    pairs = st.tuples(percent, percent).map(sorted)
    alloys = st.sampled_from(["CoNi", "AlCoCrFeNi", "FeTi2Mo", "Pd", "Al3Ti"])
    kinds = st.one_of(
        st.tuples(symbols, pairs).map(lambda sb: SumBounds(sb[0], *sb[1])),
        st.tuples(st.permutations(ELEMENTS), st.sampled_from([(1, 1), (0.5, 2), (3, 9)])).map(
            lambda pb: Ratio(pb[0][0], pb[0][1], *pb[1])
        ),
        st.tuples(alloys, st.sampled_from([0.05, 0.1, 0.3])).map(lambda ad: NearAlloy(*ad)),
        st.sampled_from([Density(high=7), Density(8, 9), Density(11)]),
        st.just(MaxPrice(8.0, {"Al": 2.5, "Co": 30, "Cr": 9, "Fe": 0.1, "Ni": 15, "Ti": 10})),
        symbols.map(lambda s: ForbiddenElements(*s)),
        st.integers(1, 5).map(MinElements),
        st.integers(2, 8).map(MaxElements),
        st.integers(5, 20).map(lambda k: LargestFraction(k / 20)),
    )
    return draw(st.lists(kinds, min_size=1, max_size=4))


@settings(max_examples=80, deadline=None)
@given(linear_sets(), st.integers(0, 2**31))
def test_a_rounded_composition_satisfies_every_constraint(constraints, seed):
    try:
        region = feasible_region(constraints, ELEMENTS, MINIMUM, STEP)
    except ConstraintError:
        event("refused")
        return
    rows = np.random.default_rng(seed).dirichlet(np.full(len(ELEMENTS), 0.5), 60)
    rounded, possible = round_compositions(rows, region, STEP, MINIMUM)
    event(f"mended: {'all' if possible.all() else 'some' if possible.any() else 'none'}")
    kept = rounded[possible]
    np.testing.assert_allclose(kept.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(kept / STEP, (kept / STEP).round(), atol=1e-9)
    assert (kept[kept > 0] >= MINIMUM - 1e-9).all()
    for constraint in constraints:
        assert constraint.holds(kept, NO_FEATURES, region).all(), constraint


@settings(max_examples=80, deadline=None)
@given(linear_sets(), st.integers(0, 2**31))
def test_what_random_alloys_satisfy_is_never_refused(constraints, seed):
    """Alloys drawn without the library's help are proof that a set can be satisfied."""
    rng = np.random.default_rng(seed)
    counts = []
    for _ in range(300):
        present = rng.permutation(len(ELEMENTS))[: rng.integers(1, 6)]
        row = np.zeros(len(ELEMENTS), int)
        spare = 200 - 2 * len(present)
        row[present] = 2 + rng.multinomial(spare, rng.dirichlet(np.ones(len(present))))
        counts.append(row)
    alloys = np.array(counts) * STEP
    anywhere = feasible_region([], ELEMENTS)
    ok = np.all([c.holds(alloys, NO_FEATURES, anywhere) for c in constraints], axis=0)
    if ok.any():
        region = feasible_region(constraints, ELEMENTS, MINIMUM, STEP)
        rounded, possible = round_compositions(alloys[ok], region, STEP, MINIMUM)
        assert possible.all()
        np.testing.assert_allclose(rounded, alloys[ok], atol=1e-12)


def test_an_alloy_that_misses_a_bound_is_moved_no_further_than_it_must():
    region = feasible_region([SumBounds(["Co", "Ni"], 0.6, 1.0)], ELEMENTS, MINIMUM, STEP)
    row = np.array([[0.3, 0.3, 0, 0.2, 0, 0.2, 0, 0]])
    (rounded,), _ = round_compositions(row, region, STEP, MINIMUM)
    assert rounded[1] + rounded[5] == pytest.approx(0.6)
    assert np.abs(rounded - row).sum() / 2 == pytest.approx(0.1)


@pytest.mark.parametrize("used", [2, 5, 8])
@pytest.mark.parametrize("distance", [0.02, 0.3, 1.0])
def test_novelty_is_the_distance_to_the_nearest_of_all_known_alloys(used, distance):
    """Also where the alloys hold few of the elements, and most of the known ones are left out."""
    rng = np.random.default_rng(used)
    known = rng.dirichlet(np.full(8, 0.3), 60).round(2)
    x = np.zeros((40, 8))
    x[:, :used] = rng.dirichlet(np.full(used, 0.3), 40)
    x[0] = 0.0
    x[0, 0] = 1.0
    region = feasible_region([], ELEMENTS, known=known)
    expected = [max(distance - min(abs(a - k).sum() / 2 for k in known), 0) for a in x]
    np.testing.assert_allclose(Novel(distance).excess(x, NO_FEATURES, region), expected, atol=1e-9)
