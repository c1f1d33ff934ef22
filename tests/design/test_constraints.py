import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from pyro_hea.design import (
    AllowedElements,
    Constraint,
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
from pyro_hea.errors import ConstraintError, UnknownElementError

ELEMENTS = ("Al", "Co", "Cr", "Ni")
ANYWHERE = feasible_region([], ELEMENTS)
NO_FEATURES = pd.DataFrame()

ONE_OF_EACH = [
    AllowedElements("Al", "Co"),
    RequiredElements("Al"),
    ForbiddenElements("Cr", "Ni"),
    ElementBounds("Co", 0, 0.05),
    LargestFraction(0.4),
    MinElements(2),
    MaxElements(5),
    FeatureBounds("mixing_enthalpy", -15, 5),
    SumBounds(["noble", "Co"], 0.1, 0.5),
    Ratio("Al", "Ni", 0.5, 2),
    NearAlloy("CoNi", 0.2),
    Novel(0.02),
    Density(high=8),
    MaxPrice(10, {"Co": 30, "Ni": 15}),
    IndicatorBounds("supply_risk", high=0.4),
    Soft(MaxElements(4), 2.0),
]


def holds(constraint, *alloys, features=NO_FEATURES):
    return constraint.holds(np.array(alloys, float), features, ANYWHERE).tolist()


class TestHolds:
    def test_allowed_elements_refuse_any_trace_of_another(self):
        c = AllowedElements("Ni", "Al")
        assert holds(c, [0.5, 0, 0, 0.5], [1, 0, 0, 0], [0.5, 0.005, 0, 0.495]) == [
            True,
            True,
            False,
        ]

    def test_forbidden_elements_refuse_any_trace_of_them(self):
        c = ForbiddenElements("Co")
        assert holds(c, [0.5, 0, 0, 0.5], [0.995, 0.005, 0, 0]) == [True, False]

    def test_required_elements_must_all_be_present(self):
        c = RequiredElements("Al", "Ni")
        assert holds(c, [0.5, 0, 0, 0.5], [1, 0, 0, 0], [0.01, 0.98, 0, 0.01]) == [
            True,
            False,
            True,
        ]

    def test_element_bounds_include_both_ends(self):
        c = ElementBounds("Co", 0.05, 0.3)
        alloys = [[1 - x, x, 0, 0] for x in (0.045, 0.05, 0.2, 0.1 + 0.2, 0.305)]
        assert holds(c, *alloys) == [False, True, True, True, False]

    def test_largest_fraction_looks_at_every_element(self):
        c = LargestFraction(0.4)
        assert holds(c, [0.4, 0.4, 0.2, 0], [0.1, 0.2, 0.295, 0.405]) == [True, False]

    def test_numbers_of_elements_include_the_bound(self):
        alloys = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.4, 0.3, 0.3, 0]]
        assert holds(MinElements(2), *alloys) == [False, True, True]
        assert holds(MaxElements(2), *alloys) == [True, True, False]

    def test_feature_bounds_include_both_ends_and_may_be_open(self):
        features = pd.DataFrame({"mixing_enthalpy": [-15.1, -15.0, 0.0, 5.0, 5.1]})
        alloys = np.zeros((5, 4))

        def within(*bounds, **named):
            return holds(
                FeatureBounds("mixing_enthalpy", *bounds, **named), *alloys, features=features
            )

        assert within(-15, 5) == [False, True, True, True, False]
        assert within(-15) == [False, True, True, True, True]
        assert within(high=-15) == [True, True, False, False, False]
        assert within() == [True] * 5

    def test_a_feature_that_is_undefined_is_outside_every_bound(self):
        features = pd.DataFrame({"omega": [np.nan]})
        assert holds(FeatureBounds("omega"), np.zeros(4), features=features) == [False]


class TestTighten:
    def test_without_constraints_anything_goes(self):
        assert ANYWHERE.lower.tolist() == [0, 0, 0, 0]
        assert ANYWHERE.upper.tolist() == [1, 1, 1, 1]
        assert not ANYWHERE.required.any()
        assert ANYWHERE.min_elements == 1

    def test_allowed_and_forbidden_elements_close_the_others(self):
        assert feasible_region([AllowedElements("Ni", "Al")], ELEMENTS).upper.tolist() == [
            1,
            0,
            0,
            1,
        ]
        assert feasible_region([ForbiddenElements("Ni", "Al")], ELEMENTS).upper.tolist() == [
            0,
            1,
            1,
            0,
        ]

    def test_required_elements_add_up(self):
        region = feasible_region([RequiredElements("Co"), RequiredElements("Ni")], ELEMENTS)
        assert region.required.tolist() == [False, True, False, True]

    def test_bounds_on_one_element_intersect(self):
        region = feasible_region(
            [ElementBounds("Co", 0.1, 0.5), ElementBounds("Co", 0, 0.3)], ELEMENTS
        )
        assert (region.lower[1], region.upper[1]) == (0.1, 0.3)
        assert region.lower[[0, 2, 3]].tolist() == [0, 0, 0]
        assert region.upper[[0, 2, 3]].tolist() == [1, 1, 1]

    def test_largest_fraction_lowers_only_what_is_above_it(self):
        region = feasible_region([ElementBounds("Co", 0, 0.2), LargestFraction(0.4)], ELEMENTS)
        assert region.upper.tolist() == [0.4, 0.2, 0.4, 0.4]

    def test_the_narrower_number_of_elements_counts(self):
        wishes = [MinElements(2), MinElements(3), MaxElements(4), MaxElements(5)]
        region = feasible_region(wishes, ELEMENTS)
        assert (region.min_elements, region.max_elements) == (3, 4)

    def test_feature_bounds_leave_the_fractions_alone(self):
        region = feasible_region([FeatureBounds("mixing_enthalpy", -15, 5)], ELEMENTS)
        assert region.upper.tolist() == ANYWHERE.upper.tolist()

    def test_order_does_not_matter(self):
        regions = [
            feasible_region(order, ELEMENTS) for order in itertools.permutations(ONE_OF_EACH[3:7])
        ]
        for region in regions:
            assert region.upper.tolist() == regions[0].upper.tolist()
            assert region.min_elements == regions[0].min_elements


class TestValues:
    @pytest.mark.parametrize("constraint", ONE_OF_EACH, ids=repr)
    def test_constraints_are_frozen_equal_and_hashable_by_value(self, constraint):
        (field, *_) = dataclasses.fields(constraint)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(constraint, field.name, None)
        twin = twin_of(constraint)
        assert twin == constraint
        assert hash(twin) == hash(constraint)
        assert len({*ONE_OF_EACH, twin}) == len(ONE_OF_EACH)

    def test_kinds_with_equal_contents_differ(self):
        assert AllowedElements("Al") != ForbiddenElements("Al")
        assert MinElements(3) != MaxElements(3)

    @pytest.mark.parametrize(
        ("constraint", "text"),
        [
            (AllowedElements("Al", "Co"), "AllowedElements('Al', 'Co')"),
            (RequiredElements("Al"), "RequiredElements('Al')"),
            (ForbiddenElements("Co"), "ForbiddenElements('Co')"),
            (ElementBounds("Co", 0, 0.05), "ElementBounds(element='Co', low=0, high=0.05)"),
            (LargestFraction(0.4), "LargestFraction(high=0.4)"),
            (MinElements(4), "MinElements(count=4)"),
            (MaxElements(5), "MaxElements(count=5)"),
            (FeatureBounds("omega", 1, 9), "FeatureBounds('omega', low=1, high=9)"),
            (FeatureBounds("omega", high=9), "FeatureBounds('omega', high=9)"),
            (FeatureBounds("omega", 1.5), "FeatureBounds('omega', low=1.5)"),
            (FeatureBounds("omega"), "FeatureBounds('omega')"),
        ],
    )
    def test_repr_is_what_one_would_type(self, constraint, text):
        assert repr(constraint) == text

    def test_every_public_constraint_is_tested_here(self):
        import pyro_hea.design as room

        public = {
            value
            for name in room.__all__
            if isinstance(value := getattr(room, name), type)
            and issubclass(value, Constraint)
            and value is not Constraint
        }
        assert public == {type(constraint) for constraint in ONE_OF_EACH}


def twin_of(constraint: Constraint) -> Constraint:
    """Another constraint of the same contents."""
    values = [getattr(constraint, field.name) for field in dataclasses.fields(constraint)]
    return type(constraint)(
        *(values[0] if isinstance(values[0], tuple) and len(values) == 1 else values)
    )


class TestMalformed:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: AllowedElements(), "takes element symbols, as in AllowedElements"),
            (lambda: RequiredElements(["Al", "Co"]), r"RequiredElements.*not \(\['Al', 'Co'\],\)"),
            (lambda: ForbiddenElements(27), "takes element symbols"),
            (lambda: ElementBounds("Co", 0.3, 0.1), "bound 0.3 is above the upper bound 0.1"),
            (lambda: ElementBounds("Co", float("nan")), "lower bound nan"),
            (lambda: ElementBounds("Co", 0, 5), r"ElementBounds\(.*'Co'.*fractions.*not at\.%"),
            (lambda: ElementBounds("Co", -0.1, 0.5), "fractions from 0 to 1"),
            (lambda: LargestFraction(40), r"LargestFraction\(high=40\).*at most 1"),
            (lambda: LargestFraction(0), "above 0"),
            (lambda: LargestFraction("a"), r"high='a'.*a fraction above 0 and at most 1"),
            (lambda: Novel("a"), r"distance='a'.*a share of the atoms from 0 to 1"),
            (lambda: IndicatorBounds("supplyrisk"), "no indicator. Did you mean 'supply_risk'"),
            (lambda: MaxPrice("a", {"Fe": 1.0}), "MaxPrice: bounds are numbers, not .* 'a'"),
            (lambda: MaxPrice(9.0, {"Fe": "a"}), "prices of 0 or more by element, not {'Fe': 'a'}"),
            (lambda: Soft(LargestFraction(0.4), "a"), "a constraint and a weight above 0"),
            (lambda: LargestFraction(float("nan")), "above 0"),
            (lambda: MinElements(0), r"MinElements\(count=0\).*whole number above 0"),
            (lambda: MaxElements(-1), "whole number above 0"),
            (lambda: MaxElements(2.5), "whole number above 0"),
            (lambda: MinElements("4"), "whole number above 0"),
            (lambda: FeatureBounds("omega", 5, -15), "bound 5 is above the upper bound -15"),
            (lambda: FeatureBounds("mixing_entalpy"), "Did you mean 'mixing_enthalpy'"),
            (lambda: FeatureBounds("hardness"), "Features: mixing_entropy, "),
        ],
    )
    def test_is_refused_with_what_is_allowed(self, make, message):
        with pytest.raises(ConstraintError, match=message):
            make()

    @pytest.mark.parametrize("stranger", ["MaxElements(5)", None, MaxElements, {"Co": 0.1}])
    def test_what_is_no_constraint_is_named(self, stranger):
        with pytest.raises(ConstraintError, match=r"is no constraint; use AllowedElements, .*"):
            feasible_region([MinElements(2), stranger], ELEMENTS)

    def test_one_constraint_by_itself_is_no_sequence(self):
        with pytest.raises(ConstraintError, match=r"write \[MaxElements\(count=3\)\]"):
            feasible_region(MaxElements(3), ELEMENTS)

    def test_an_element_that_no_training_alloy_holds_may_be_forbidden(self):
        region = feasible_region([ForbiddenElements("La", "Ni")], ELEMENTS)
        assert region.upper.tolist() == [1, 1, 1, 0]
        assert ForbiddenElements("La").holds(np.eye(4), None, region).all()

    @pytest.mark.parametrize(
        "constraint",
        [
            AllowedElements("Al", "co"),
            RequiredElements("co"),
            ForbiddenElements("co"),
            ElementBounds("co", 0, 0.1),
        ],
        ids=repr,
    )
    def test_an_unknown_element_is_refused_with_the_nearest(self, constraint):
        with pytest.raises(
            UnknownElementError, match=r"'co'\. Did you mean 'Co'\?.*Al, Co, Cr, Ni"
        ):
            feasible_region([constraint], ELEMENTS)


UNROUNDABLE = (
    "the bounds of a required element hold no fraction to round to (at least 0.01, "
    "in steps of 0.005)"
)
CLASHES = {
    "required and forbidden": (
        [RequiredElements("Co"), ForbiddenElements("Co")],
        "a required element is not allowed",
    ),
    "required and not allowed": (
        [RequiredElements("Co"), AllowedElements("Al", "Ni")],
        "a required element is not allowed",
    ),
    "at least so much of what is forbidden": (
        [ElementBounds("Co", 0.1), ForbiddenElements("Co")],
        "a required element is not allowed",
    ),
    "bounds that do not meet": (
        [ElementBounds("Co", 0.3), ElementBounds("Co", 0, 0.2)],
        "a lower bound is above the upper",
    ),
    "at least so much, and nothing above less": (
        [ElementBounds("Co", 0.5), LargestFraction(0.4)],
        "a lower bound is above the upper",
    ),
    "more than at most": (
        [MinElements(4), MaxElements(3)],
        "the smallest number of elements is above the largest",
    ),
    "more required than may be present": (
        [RequiredElements("Al", "Co", "Cr"), MaxElements(2)],
        "more elements are required than may be present",
    ),
    "more present by bounds than may be": (
        [ElementBounds("Al", 0.1), ElementBounds("Co", 0.1), MaxElements(1)],
        "more elements are required than may be present",
    ),
    "fewer allowed than wanted": (
        [MinElements(3), AllowedElements("Al", "Co")],
        "fewer elements are allowed than must be present",
    ),
    "everything forbidden": (
        [ForbiddenElements("Al", "Co"), ForbiddenElements("Cr", "Ni")],
        "fewer elements are allowed than must be present",
    ),
    "too few for the largest fraction": (
        [LargestFraction(0.3), MaxElements(3)],
        "the upper bounds do not add up to 100 at.%",
    ),
    "required elements that may be too little": (
        [ElementBounds("Al", 0, 0.3), RequiredElements("Al"), LargestFraction(0.6), MaxElements(2)],
        "the upper bounds do not add up to 100 at.%",
    ),
    "lower bounds above the whole": (
        [ElementBounds("Al", 0.6), ElementBounds("Co", 0.5)],
        "the lower bounds and smallest fractions add up to more than 100 at.%",
    ),
    "lower bounds that leave too little for one more": (
        [ElementBounds("Al", 0.6), ElementBounds("Co", 0.395), MinElements(3)],
        "the lower bounds and smallest fractions add up to more than 100 at.%",
    ),
    "an upper bound below the smallest fraction": (
        [RequiredElements("Co"), ElementBounds("Co", 0, 0.005)],
        UNROUNDABLE,
    ),
    "bounds between two steps": (
        [ElementBounds("Co", 0.201, 0.204)],
        UNROUNDABLE,
    ),
}


class TestClashes:
    @pytest.mark.parametrize(("clash", "reason"), CLASHES.values(), ids=CLASHES)
    @pytest.mark.parametrize("bystanders", [[], [MinElements(1), ElementBounds("Ni", 0, 0.9)]])
    def test_are_refused_by_name_and_reason_and_bystanders_are_not_named(
        self, clash, reason, bystanders
    ):
        with pytest.raises(ConstraintError) as refusal:
            feasible_region([*bystanders, *clash], ELEMENTS, min_fraction=0.01, step=0.005)
        named = ", ".join(map(repr, clash))
        assert str(refusal.value) == f"no alloy satisfies {named}: {reason}"

    def test_smallest_fractions_of_all_elements_may_exceed_the_whole(self):
        feasible_region([MinElements(4)], ELEMENTS, min_fraction=0.25)
        with pytest.raises(ConstraintError, match=r"MinElements\(count=4\): .*more than 100 at"):
            feasible_region([MinElements(4)], ELEMENTS, min_fraction=0.26)

    def test_one_element_too_few_and_one_more_too_many(self):
        most = ElementBounds("Al", 0.7, 0.8)
        feasible_region([most], ELEMENTS, min_fraction=0.3, step=0.05)
        with pytest.raises(ConstraintError, match=r"'Al'.*: .* both miss 100 at"):
            feasible_region([most], ELEMENTS, min_fraction=0.35, step=0.05)

    @pytest.mark.parametrize(
        "narrow",
        [
            [LargestFraction(0.25)],
            [MinElements(4), MaxElements(4), RequiredElements(*ELEMENTS)],
            [ElementBounds("Al", 0.6, 0.6), ElementBounds("Co", 0.4, 0.4)],
            [ElementBounds("Al", 0.99, 1), MinElements(2)],
            [ElementBounds("Co", 0, 0.005)],
            [AllowedElements("Al")],
            [ElementBounds(e, 0.1 + 0.2, 1) for e in ELEMENTS[:3]],
        ],
        ids=str,
    )
    def test_what_can_just_be_satisfied_is_accepted(self, narrow):
        feasible_region(narrow, ELEMENTS, min_fraction=0.01, step=0.005)


# Random sets of constraints against a mixed-integer programme that knows nothing of regions.

SIX = ("Al", "Co", "Cr", "Fe", "Mn", "Ni")


@st.composite
def constraint_sets(draw):
    elements = SIX[: draw(st.integers(4, 6))]
    symbols = st.lists(st.sampled_from(elements), min_size=1, max_size=4, unique=True)
    percent = st.integers(0, 20).map(lambda k: k / 20)
    odd = st.integers(0, 37).map(lambda k: k / 37)
    pairs = st.tuples(percent | odd, percent | odd).map(sorted)
    kinds = st.one_of(
        symbols.map(lambda s: RequiredElements(*s)),
        symbols.map(lambda s: ForbiddenElements(*s)),
        st.lists(st.sampled_from(elements), min_size=2, unique=True).map(
            lambda s: AllowedElements(*s)
        ),
        st.tuples(st.sampled_from(elements), pairs).map(lambda eb: ElementBounds(eb[0], *eb[1])),
        st.tuples(st.sampled_from(elements), percent).map(
            lambda eb: ElementBounds(eb[0], 0, eb[1])
        ),
        st.integers(3, 20).map(lambda k: LargestFraction(k / 20)),
        st.integers(1, 7).map(MinElements),
        st.integers(1, 7).map(MaxElements),
    )
    return elements, draw(st.lists(kinds, max_size=5))


def satisfying_alloy(constraints, elements, min_fraction, step):
    """An alloy that satisfies everything, as a mixed-integer programme finds it, or None."""
    count, units = len(elements), round(1 / step)
    eye, no = np.eye(count), np.zeros((count, count))
    smallest = max(1, int(np.ceil(min_fraction * units - 1e-6)))
    low = np.zeros(2 * count)  # of the steps of each element, then of whether it is present
    high = np.r_[np.full(count, units), np.ones(count)]
    fewest, most = 1, count
    for constraint in constraints:
        match constraint:
            case AllowedElements(names):
                high[:count][[e not in names for e in elements]] = 0
            case ForbiddenElements(names):
                high[:count][[e in names for e in elements]] = 0
            case RequiredElements(names):
                low[count:][[e in names for e in elements]] = 1
            case ElementBounds(element, bottom, top):
                i = elements.index(element)
                low[i] = max(low[i], np.ceil(bottom * units - 1e-6))
                high[i] = min(high[i], np.floor(top * units + 1e-6))
            case LargestFraction(top):
                high[:count] = np.minimum(high[:count], np.floor(top * units + 1e-6))
            case MinElements(number):
                fewest = max(fewest, number)
            case MaxElements(number):
                most = min(most, number)
    if (low > high).any() or fewest > most:
        return None
    found = milp(
        np.zeros(2 * count),
        integrality=np.ones(2 * count),
        bounds=Bounds(low, high),
        constraints=[
            LinearConstraint(np.r_[np.ones(count), np.zeros(count)], units, units),
            LinearConstraint(np.r_[np.zeros(count), np.ones(count)], fewest, most),
            LinearConstraint(np.hstack([eye, -smallest * eye]), 0, np.inf),
            LinearConstraint(np.hstack([eye, no - units * eye]), -np.inf, 0),
        ],
    )
    assert found.status in (0, 2), found.message  # solved or infeasible
    return None if found.x is None else np.round(found.x[:count]) / units


@settings(max_examples=150, deadline=None)
@given(
    constraint_sets(), st.sampled_from([0.0, 0.01, 0.04, 0.3]), st.sampled_from([0.005, 0.01, 0.05])
)
@example((SIX[:4], [ElementBounds("Al", 0.7, 0.8)]), 0.35, 0.05)
@example((SIX[:4], [ElementBounds("Al", 0.7, 0.8)]), 0.3, 0.05)
def test_constraints_are_refused_just_where_no_alloy_satisfies_them(case, min_fraction, step):
    elements, constraints = case
    alloy = satisfying_alloy(constraints, elements, min_fraction, step)
    if alloy is None:
        event("refused")
        with pytest.raises(ConstraintError, match="no alloy satisfies"):
            feasible_region(constraints, elements, min_fraction, step)
        return
    event("accepted")
    region = feasible_region(constraints, elements, min_fraction, step)
    feasible_region(constraints, elements, min_fraction)  # whatever the step

    rng = np.random.default_rng(0)
    dense, sparse = (rng.dirichlet(np.full(len(elements), a), 50) for a in (1.0, 0.2))
    rows = np.vstack([alloy, dense, sparse])
    rounded, possible = round_compositions(rows, region, step, min_fraction)
    assert possible[0]
    np.testing.assert_array_equal(rounded[0], alloy)
    kept = rounded[possible]
    np.testing.assert_allclose(kept.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(kept / step, (kept / step).round(), atol=1e-9)
    assert (kept[kept > 0] >= max(min_fraction, step) - 1e-9).all()
    for constraint in constraints:
        assert constraint.holds(kept, NO_FEATURES, region).all(), constraint


@settings(max_examples=60, deadline=None)
@given(constraint_sets())
def test_a_refusal_names_constraints_that_clash_by_themselves(case):
    elements, constraints = case
    try:
        feasible_region(constraints, elements, 0.01, 0.005)
    except ConstraintError as refusal:
        named = [c for c in constraints if repr(c) in str(refusal)]
        assert satisfying_alloy(named, elements, 0.01, 0.005) is None
        message = str(refusal)
        for left_out in {repr(c): c for c in named}.values():
            if message.count(repr(left_out)) == 1:
                rest = [c for c in named if c != left_out]
                assert satisfying_alloy(rest, elements, 0.01, 0.005) is not None, left_out


def test_distances_are_found_where_the_processor_takes_denormal_numbers_for_zero():
    """In a process of its own: a tree that splits at them without end kills it."""
    code = """
import numpy as np, pandas as pd, torch
from pyro_hea.design import Novel
from pyro_hea.design.feasibility import feasible_region
torch.set_flush_denormal(True)
rng = np.random.default_rng(0)
x = rng.dirichlet(np.ones(6), 400) * (rng.random((400, 6)) < 0.4)
x[:, 0] += 1e-9
known = (x / x.sum(1, keepdims=True)).round(3)
known /= known.sum(1, keepdims=True)
region = feasible_region([], "Al Co Cr Fe Ni Ti".split(), known=known)
print(Novel(0.1).excess(known[:2], pd.DataFrame(), region))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[0.1 0.1]\n", done.stderr
