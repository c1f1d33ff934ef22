import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_hea.design import (
    AllowedElements,
    ElementBounds,
    ForbiddenElements,
    LargestFraction,
    MaxElements,
    MinElements,
    RequiredElements,
)
from pyro_hea.design.feasibility import feasible_region
from pyro_hea.design.rounding import round_compositions

ELEMENTS = ("Al", "Co", "Cr", "Fe", "Ni")
STEPS = [0.005, 0.01, 0.05]


def rounded_of(*rows, constraints=(), step=0.005, min_fraction=0.01):
    region = feasible_region(constraints, ELEMENTS, min_fraction, step)
    return round_compositions(np.array(rows, float), region, step, min_fraction)


def alloy(*row, **options):
    """One alloy, which must be possible."""
    rounded, possible = rounded_of(row, **options)
    assert possible.tolist() == [True]
    return rounded[0].tolist()


def on_grid(rng, rows, step):
    """Random alloys of multiples of the step, elements present at least at one step."""
    units = round(1 / step)
    counts = []
    for _ in range(rows):
        present = rng.permutation(5)[: rng.integers(1, 6)]
        row = np.zeros(5, int)
        row[present] = 1
        row[present] += rng.multinomial(units - len(present), rng.dirichlet(np.ones(len(present))))
        counts.append(row)
    return np.array(counts) / units


class TestValidAlloys:
    @pytest.mark.parametrize("step", STEPS)
    def test_come_back_unchanged(self, step):
        alloys = on_grid(np.random.default_rng(1), 300, step)
        rounded, possible = rounded_of(*alloys, step=step, min_fraction=min(step, 0.01) / 2)
        assert possible.all()
        np.testing.assert_array_equal(rounded, alloys)

    def test_come_back_unchanged_with_an_element_at_the_minimum(self):
        alloys = on_grid(np.random.default_rng(2), 2000, 0.01)
        assert np.isclose(alloys, 0.01).any(1).sum() > 100
        rounded, _ = rounded_of(*alloys, min_fraction=0.01)
        np.testing.assert_array_equal(rounded, alloys)

    @pytest.mark.parametrize(
        "row", [(0.3, 0.4, 0.3, 0, 0), (0.2, 0.4, 0, 0, 0.4), (0.3, 0.315, 0, 0.385, 0)]
    )
    def test_come_back_unchanged_at_their_bounds(self, row):
        bounds = [ElementBounds("Al", 0.2, 0.3), LargestFraction(0.4), MaxElements(3)]
        assert alloy(*row, constraints=bounds) == list(row)

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize(
        "constraints",
        [
            [],
            [MaxElements(3)],
            [LargestFraction(0.35), MinElements(3)],
            [ElementBounds("Al", 0.1, 0.25), ForbiddenElements("Ni")],
            [RequiredElements("Co", "Ni"), MaxElements(4)],
        ],
        ids=str,
    )
    def test_rounding_twice_changes_nothing(self, step, constraints):
        rows = np.random.default_rng(2).dirichlet(np.full(5, 0.5), 300)
        once, possible = rounded_of(*rows, constraints=constraints, step=step)
        twice, still = rounded_of(*once[possible], constraints=constraints, step=step)
        assert possible.any()
        assert still.all()
        np.testing.assert_array_equal(twice, once[possible])


class TestLargestRemainder:
    def test_thirds(self):
        assert alloy(1 / 3, 1 / 3, 1 / 3, 0, 0) == [0.335, 0.335, 0.33, 0, 0]

    def test_the_largest_remainders_are_rounded_up(self):
        # 43.4, 23.3, 13.2 and 20.1 at.% in steps of 1: one unit is missing after the floors.
        row = (0.434, 0.233, 0.132, 0.201, 0)
        assert alloy(*row, step=0.01) == [0.44, 0.23, 0.13, 0.2, 0]
        # 86.8, 46.6, 26.4 and 40.2 half percents: two missing.
        assert alloy(*row, step=0.005) == [0.435, 0.235, 0.13, 0.2, 0]
        # 8.68, 4.66, 2.64 and 4.02 steps of 5: two missing.
        assert alloy(*row, step=0.05) == [0.45, 0.25, 0.1, 0.2, 0]

    def test_the_next_remainder_is_rounded_up_where_the_largest_is_at_its_bound(self):
        row = (0.434, 0.233, 0.132, 0.201, 0)
        bound = [ElementBounds("Al", 0, 0.43)]
        # The four tenths above the bound go to the others in proportion: 23.46, 13.29, 20.24.
        assert alloy(*row, constraints=bound, step=0.01) == [0.43, 0.24, 0.13, 0.2, 0]

    def test_amounts_need_not_sum_to_one(self):
        assert alloy(2, 1, 1, 0, 0) == [0.5, 0.25, 0.25, 0, 0]


class TestDropping:
    def test_elements_below_the_minimum_are_dropped_and_shared_out(self):
        assert alloy(0.496, 0.496, 0.008, 0, 0) == [0.5, 0.5, 0, 0, 0]
        assert alloy(0.496, 0.496, 0.008, 0, 0, min_fraction=0.005)[2] == 0.01

    def test_what_is_required_stays_with_at_least_the_minimum(self):
        assert alloy(0.5, 0.5, 0, 0, 0, constraints=[RequiredElements("Ni")]) == [
            0.495,
            0.495,
            0,
            0,
            0.01,
        ]

    def test_the_smallest_are_dropped_beyond_the_largest_number(self):
        row = (0.3, 0.1, 0.15, 0.25, 0.2)
        assert alloy(*row, constraints=[MaxElements(2)]) == [0.545, 0, 0, 0.455, 0]

    def test_the_smallest_are_dropped_before_what_is_required(self):
        wish = [MaxElements(2), RequiredElements("Co")]
        assert alloy(0.3, 0.1, 0.15, 0.25, 0.2, constraints=wish) == [0.75, 0.25, 0, 0, 0]

    def test_what_is_not_allowed_is_dropped(self):
        only = [AllowedElements("Co", "Ni")]
        assert alloy(0.6, 0.1, 0.1, 0.1, 0.1, constraints=only) == [0, 0.5, 0, 0, 0.5]

    def test_what_may_hold_only_less_than_the_minimum_is_dropped(self):
        bound = [ElementBounds("Al", 0, 0.005)]
        assert alloy(0.2, 0.4, 0.4, 0, 0, constraints=bound) == [0, 0.5, 0.5, 0, 0]

    def test_the_smallest_are_dropped_where_all_at_the_minimum_are_more_than_the_whole(self):
        assert alloy(0.22, 0.21, 0.2, 0.19, 0.18, step=0.25, min_fraction=0) == [0.25] * 4 + [0]
        assert alloy(0.22, 0.21, 0.2, 0.19, 0.18, min_fraction=0.18) == [
            0.22,
            0.21,
            0.2,
            0.19,
            0.18,
        ]

    @pytest.mark.parametrize("step", STEPS)
    def test_without_a_minimum_less_than_half_a_step_is_nothing(self, step):
        rounded = alloy(
            1 - 1.1 * step, 0.6 * step, 0.4 * step, 0.1 * step, 0, step=step, min_fraction=0
        )
        assert rounded == pytest.approx([1 - step, step, 0, 0, 0], abs=1e-12)

    def test_without_a_minimum_what_is_required_is_a_step_at_least(self):
        wish = [RequiredElements("Co", "Ni")]
        assert alloy(1, 0, 0, 0, 0, min_fraction=0, constraints=wish) == [0.99, 0.005, 0, 0, 0.005]


class TestBounds:
    def test_what_is_above_a_bound_is_shared_out_in_proportion(self):
        bound = [ElementBounds("Al", 0, 0.2)]
        assert alloy(0.5, 0.3, 0.1, 0.1, 0, constraints=bound) == [0.2, 0.48, 0.16, 0.16, 0]

    def test_what_is_below_a_bound_is_taken_from_the_others_in_proportion(self):
        bound = [ElementBounds("Ni", 0.4)]
        assert alloy(0.5, 0.3, 0.2, 0, 0, constraints=bound) == [0.3, 0.18, 0.12, 0, 0.4]

    def test_a_bound_that_binds_may_make_another_bind(self):
        assert alloy(0.7, 0.2, 0.1, 0, 0, constraints=[LargestFraction(0.4)]) == [
            0.4,
            0.4,
            0.2,
            0,
            0,
        ]

    def test_bounds_between_two_steps_are_kept(self):
        bound = [ElementBounds("Al", 0.12, 0.18)]
        assert alloy(0.5, 0.5, 0, 0, 0, constraints=bound, step=0.05)[0] == 0.15

    def test_amounts_are_those_of_the_bounds_where_these_leave_no_choice(self):
        wish = [LargestFraction(0.2)]
        assert alloy(0.9, 0.04, 0.03, 0.02, 0.01, constraints=wish) == [0.2] * 5

    def test_an_element_that_was_not_there_may_fill_up(self):
        wish = [ElementBounds("Al", 0, 0.1), AllowedElements("Al", "Ni"), RequiredElements("Ni")]
        assert alloy(1, 0, 0, 0, 0, constraints=wish) == [0.1, 0, 0, 0, 0.9]


class TestImpossible:
    @pytest.mark.parametrize(
        ("row", "constraints"),
        [
            ([0.5, 0.5, 0, 0, 0], [MinElements(3)]),
            ([0.5, 0.495, 0.005, 0, 0], [MinElements(3)]),
            ([0.5, 0.5, 0, 0, 0], [LargestFraction(0.4)]),
            ([0.5, 0.5, 0, 0, 0], [ForbiddenElements("Al", "Co")]),
        ],
        ids=str,
    )
    def test_is_said_of_alloys_whose_elements_leave_nothing(self, row, constraints):
        rounded, possible = rounded_of(row, [0.2] * 5, constraints=constraints)
        assert possible.tolist() == [False, True]
        assert np.isfinite(rounded).all()

    def test_an_alloy_of_nothing_is_not_possible(self):
        assert rounded_of([0.0] * 5)[1].tolist() == [False]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([*STEPS, 0.001, 0.25]),
    st.sampled_from([0.0, 0.01, 0.03]),
    st.sampled_from(
        [
            [],
            [LargestFraction(0.35)],
            [ElementBounds("Al", 0.07, 0.26), RequiredElements("Ni")],
            [MaxElements(3), MinElements(2), ElementBounds("Co", 0, 0.5)],
        ]
    ),
)
def test_rows_are_rounded_one_by_one_and_satisfy_every_constraint(
    seed, step, min_fraction, constraints
):
    if step == 0.25 and constraints:
        constraints = [MaxElements(3)]
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(5, rng.choice([0.1, 0.5, 2.0])), 20)
    together, possible = rounded_of(
        *rows, constraints=constraints, step=step, min_fraction=min_fraction
    )
    for row, rounded, ok in zip(rows, together, possible, strict=True):
        alone, alone_ok = rounded_of(
            row, constraints=constraints, step=step, min_fraction=min_fraction
        )
        np.testing.assert_array_equal(alone[0], rounded)
        assert alone_ok[0] == ok
    np.testing.assert_allclose(together[possible].sum(1), 1, atol=1e-12)
    for constraint in constraints:
        assert constraint.holds(
            together[possible], pd.DataFrame(), feasible_region([], ELEMENTS)
        ).all()
