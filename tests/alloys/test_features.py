from itertools import combinations
from math import log, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyro_hea import ModelSpec
from pyro_hea.errors import SpecError, UnknownElementError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import (
    FEATURES,
    PHASE_PARAMETERS,
    PUBLISHED_FEATURES,
    RICH_FEATURES,
    FeatureMap,
)

# The values that were published with arXiv:2409.06740. The sample holds 39 of its 1373 rows,
# unchanged: all 30 elements, 2 to 10 elements, and each formula with an amount of 0.
SAMPLE = Path(__file__).parents[1] / "data" / "published_features_sample.csv"
WHOLE = Path(__file__).parents[3] / "shared" / "reference" / "published_features.csv"
PUBLISHED_COLUMNS = ["k", "vm", "tm", "vac", "delta", "delta_chi", "delta_s_mix", "delta_h_mix"]

NAMES = tuple(FEATURES)
FIELD = load_tables("field")
OF_FIELD = FeatureMap(NAMES, FIELD, FIELD.elements)
SPREADS_AND_RANGES = [name for name in NAMES if name.endswith(("_spread", "_range", "_difference"))]

amounts = st.floats(0.01, 10)
alloys = st.dictionaries(st.sampled_from(FIELD.elements), amounts, min_size=1, max_size=7)


def fractions_of(alloy, elements=FIELD.elements):
    return torch.tensor(fraction_table(alloy, elements).to_numpy())


def value(name, alloy, tables="field"):
    tables = load_tables(tables)
    return float(FeatureMap([name], tables, tables.elements)(fractions_of(alloy, tables.elements)))


def close(a, b):
    # A spread of equal values is the root of a rounding error, about 1e-8 of the values.
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-5)


class TestPublishedFeatures:
    @staticmethod
    def check(path):
        published = pd.read_csv(path)
        tables = load_tables("published")
        feature_map = FeatureMap(PUBLISHED_FEATURES, tables, tables.elements)
        values = feature_map(fractions_of(published["formula"].tolist(), tables.elements))
        expected = published[PUBLISHED_COLUMNS].to_numpy(float)
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-6, atol=1e-12)
        return published

    def test_sample_is_reproduced(self):
        published = self.check(SAMPLE)
        present = fraction_table(published["formula"].tolist()) > 0
        assert tuple(present.columns) == load_tables("published").elements
        assert set(range(2, 8)) <= set(present.sum(axis=1))
        assert published["formula"].str.contains(r"[a-z]0(?![.\d])").sum() == 5

    @pytest.mark.skipif(not WHOLE.is_file(), reason="../shared with all published values is absent")
    def test_all_are_reproduced(self):
        assert len(self.check(WHOLE)) == 1373

    @pytest.mark.skipif(not WHOLE.is_file(), reason="../shared with all published values is absent")
    def test_sample_is_a_part_of_what_was_published(self):
        rows = set(WHOLE.read_text(encoding="utf-8").splitlines())
        assert rows.issuperset(SAMPLE.read_text(encoding="utf-8").splitlines())


# Al0.5CoCrFeNi: c(Al) = 1/9 and c = 2/9 for each other, in the order Al, Co, Cr, Fe, Ni.
R = 8.314
T = (933.47 + 2 * 1768 + 2 * 2180 + 2 * 1811 + 2 * 1728) / 9
V = (10 + 2 * 6.67 + 2 * 7.23 + 2 * 7.09 + 2 * 6.59) / 9
K = (76 + 2 * 180 + 2 * 160 + 2 * 170 + 2 * 180) / 9
RADIUS = (125 + 2 * 135 + 2 * 140 + 2 * 140 + 2 * 135) / 9
CHI = (1.61 + 2 * 1.88 + 2 * 1.66 + 2 * 1.83 + 2 * 1.91) / 9
VEC = (3 + 2 * 9 + 2 * 6 + 2 * 8 + 2 * 10) / 9
S = -R * (1 / 9 * log(1 / 9) + 8 / 9 * log(2 / 9))
OFFSET = 1.19e-7
# c c is 2/81 for AlCo, AlCr, AlFe, AlNi and 4/81 for CoCr, CoFe, CoNi, CrFe, CrNi, FeNi.
H = 4 * (2 / 81 * (-19 - 10 - 11 - 22) + 4 / 81 * (-4 - 1 + 0 - 1 - 7 - 2))
H_PAIR = (2 * (-19 - 10 - 11 - 22) + 4 * (-4 - 1 + 0 - 1 - 7 - 2)) / 32


def excess_entropy(c, d, packing):
    """-S_E / R of hard spheres, by the sums over pairs of Mansoori et al. (1971), eqs. 4 to 9."""
    n, volume = range(len(c)), sum(ci * di**3 for ci, di in zip(c, d, strict=True))
    share = [ci * di**3 / volume for ci, di in zip(c, d, strict=True)]
    y1 = y2 = 0.0
    for i, j in combinations(n, 2):
        delta = sqrt(share[i] * share[j] * c[i] * c[j]) * (d[i] - d[j]) ** 2 / (d[i] * d[j])
        y1 += delta * (d[i] + d[j]) / sqrt(d[i] * d[j])
        y2 += delta * sum(share[k] * sqrt(d[i] * d[j]) / d[k] for k in n)
    y3 = sum(share[k] ** (2 / 3) * c[k] ** (1 / 3) for k in n) ** 3
    p, q = packing, 1 - packing
    z = (1 + p + p**2 - 3 * p * (y1 + y2 * p) - p**3 * y3) / q**3
    energy = -1.5 * (1 - y1 + y2 + y3) + (3 * y2 + 2 * y3) / q
    energy += 1.5 * (1 - y1 - y2 - y3 / 3) / q**2 + (y3 - 1) * log(q)
    of_one_size = log((1 + p + p**2 - p**3) / q**3)
    return -(energy - log(z) - (3 - 2 * p) / q**2 + 3 + of_one_size)


# The atoms of 125, 135 and 140 pm in one size each, at the packings of bcc and fcc.
EXCESS = sum(excess_entropy([1 / 9, 4 / 9, 4 / 9], [125, 135, 140], p) for p in (0.68, 0.74)) / 2

HAND_WORKED = {
    "mixing_entropy": S,
    "mixing_entropy_published": -R
    * (1 / 9 * log(1 / 9 + OFFSET) + 4 * 2 / 9 * log(2 / 9 + OFFSET)),
    "mixing_enthalpy": H,
    "atomic_size_difference": 100
    * sqrt(
        1 / 9 * (1 - 125 / RADIUS) ** 2
        + 4 / 9 * (1 - 135 / RADIUS) ** 2
        + 4 / 9 * (1 - 140 / RADIUS) ** 2
    ),
    "electronegativity_difference": sqrt(
        (
            (1.61 - CHI) ** 2
            + 2 * (1.88 - CHI) ** 2
            + 2 * (1.66 - CHI) ** 2
            + 2 * (1.83 - CHI) ** 2
            + 2 * (1.91 - CHI) ** 2
        )
        / 9
    ),
    "omega": T * S / (1000 * -H),
    "senkov_miracle_kappa": 1 - 0.4 * T * S / (1000 * H),
    "king_phi": (T * S / 1000 - H) / 22,  # Al-Ni is the strongest pair
    "ye_phi": (S - 1000 * -H / T) / (R * EXCESS),
    "singh_lambda": S
    / (
        1 / 9 * (1 - 125 / RADIUS) ** 2
        + 4 / 9 * (1 - 135 / RADIUS) ** 2
        + 4 / 9 * (1 - 140 / RADIUS) ** 2
    )
    / 1e4,
    "wang_gamma": (1 - sqrt(1 - (RADIUS / (125 + RADIUS)) ** 2))
    / (1 - sqrt(1 - (RADIUS / (140 + RADIUS)) ** 2)),
    "number_of_elements": 5,
    "largest_fraction": 2 / 9,
    "second_largest_fraction": 2 / 9,
    "third_largest_fraction": 2 / 9,
    "fourth_largest_fraction": 2 / 9,
    "fifth_largest_fraction": 1 / 9,
    "pair_enthalpy_min": -22,
    "pair_enthalpy_max": 0,
    "pair_enthalpy_spread": sqrt(
        (
            2 * ((-19 - H_PAIR) ** 2 + (-10 - H_PAIR) ** 2)
            + 2 * ((-11 - H_PAIR) ** 2 + (-22 - H_PAIR) ** 2)
            + 4 * ((-4 - H_PAIR) ** 2 + (-1 - H_PAIR) ** 2 + (0 - H_PAIR) ** 2)
            + 4 * ((-1 - H_PAIR) ** 2 + (-7 - H_PAIR) ** 2 + (-2 - H_PAIR) ** 2)
        )
        / 32
    ),
    "melting_temperature": T,
    "melting_temperature_range": 2180 - 933.47,
    "melting_temperature_spread": sqrt(
        (
            (933.47 - T) ** 2
            + 2 * (1768 - T) ** 2
            + 2 * (2180 - T) ** 2
            + 2 * (1811 - T) ** 2
            + 2 * (1728 - T) ** 2
        )
        / 9
    ),
    "molar_volume": V,
    "molar_volume_range": 10 - 6.59,
    "molar_volume_spread": sqrt(
        (
            (10 - V) ** 2
            + 2 * (6.67 - V) ** 2
            + 2 * (7.23 - V) ** 2
            + 2 * (7.09 - V) ** 2
            + 2 * (6.59 - V) ** 2
        )
        / 9
    ),
    "bulk_modulus": K,
    "bulk_modulus_range": 180 - 76,
    "bulk_modulus_spread": sqrt(
        ((76 - K) ** 2 + 4 * (180 - K) ** 2 + 2 * (160 - K) ** 2 + 2 * (170 - K) ** 2) / 9
    ),
    "atomic_radius": RADIUS,
    "atomic_radius_range": 140 - 125,
    "atomic_radius_spread": sqrt(
        ((125 - RADIUS) ** 2 + 4 * (135 - RADIUS) ** 2 + 4 * (140 - RADIUS) ** 2) / 9
    ),
    "electronegativity": CHI,
    "electronegativity_range": 1.91 - 1.61,
    "valence_electron_concentration": VEC,
    "valence_electron_concentration_range": 10 - 3,
    "valence_electron_concentration_spread": sqrt(
        (
            (3 - VEC) ** 2
            + 2 * (9 - VEC) ** 2
            + 2 * (6 - VEC) ** 2
            + 2 * (8 - VEC) ** 2
            + 2 * (10 - VEC) ** 2
        )
        / 9
    ),
}


class TestFormulas:
    def test_every_feature_is_worked_out_by_hand(self):
        assert set(HAND_WORKED) == set(FEATURES)

    @pytest.mark.parametrize("name", FEATURES)
    def test_feature_is_its_hand_worked_value(self, name):
        assert value(name, "Al0.5CoCrFeNi") == pytest.approx(HAND_WORKED[name], rel=1e-12)

    @pytest.mark.parametrize("name", FEATURES)
    def test_feature_says_its_unit_formula_and_source(self, name):
        feature = FEATURES[name]
        assert feature.name == name
        assert feature.unit
        assert feature.formula
        assert feature.source

    def test_omega_of_an_ideal_solution_is_finite(self):
        assert value("mixing_enthalpy", "CoNi") == 0
        omega = (1768 + 1728) / 2 * R * log(2) / (1000 * 0.1)
        assert value("omega", "CoNi") == pytest.approx(omega, rel=1e-12)

    @pytest.mark.parametrize(("alloy", "extreme"), [("NiTi", -35), ("AgAl", -4)])
    def test_a_single_pair_is_both_extremes_and_has_no_spread(self, alloy, extreme):
        assert value("pair_enthalpy_min", alloy) == value("pair_enthalpy_max", alloy) == extreme
        assert value("pair_enthalpy_spread", alloy) == 0

    def test_fractions_by_rank_are_zero_beyond_the_last_element(self):
        names = ("largest", "second_largest", "third_largest", "fourth_largest", "fifth_largest")
        found = [value(f"{name}_fraction", "Al0.5NiCu2.5") for name in names]
        assert found == pytest.approx([0.625, 0.25, 0.125, 0, 0])

    def test_enthalpy_keeps_its_sign(self):
        assert value("mixing_enthalpy", "NiTi") == pytest.approx(-35)
        assert value("mixing_enthalpy", "AgNi") == pytest.approx(15)
        assert value("pair_enthalpy_max", "AgAlNi") == 15

    def test_the_published_eight_are_rich_features_but_for_the_entropy(self):
        assert len(PUBLISHED_FEATURES) == 8
        assert set(PUBLISHED_FEATURES) - set(RICH_FEATURES) == {"mixing_entropy_published"}
        own = {"mixing_entropy_published", *PHASE_PARAMETERS}
        assert set(RICH_FEATURES) == set(FEATURES) - own

    def test_the_default_model_reads_what_it_did_before_the_phase_parameters(self):
        assert len(RICH_FEATURES) == 31
        assert ModelSpec().features.columns == RICH_FEATURES
        assert not {*PHASE_PARAMETERS} & {*RICH_FEATURES}

    def test_atoms_of_one_size_have_bounded_parameters(self):
        assert value("singh_lambda", "CoNi") == pytest.approx(R * log(2) / 0.01)
        assert value("ye_phi", "CoNi") == pytest.approx(R * log(2) / 0.01)
        assert value("wang_gamma", "CoNi") == 1

    @pytest.mark.parametrize(
        ("name", "sign", "limit", "compound"),
        [
            ("king_phi", 1, 1.0, "Ni9Zr"),
            ("ye_phi", 1, 20.0, "BeCuNiTiVZr"),
            ("singh_lambda", 1, 0.96, "BeCuNiTiVZr"),
            ("wang_gamma", -1, 1.175, "BeCuNiTiVZr"),
        ],
    )
    def test_published_limits_tell_a_solid_solution_from_a_compound(
        self, name, sign, limit, compound
    ):
        assert sign * value(name, "CoCrFeMnNi") > sign * limit > sign * value(name, compound)


class TestFieldAndPublishedTablesDiffer:
    @pytest.mark.parametrize(("tables", "expected"), [("field", 6), ("published", 20)])
    def test_valence_electrons_of_tungsten(self, tables, expected):
        assert value("valence_electron_concentration", "W", tables) == expected

    @pytest.mark.parametrize(("tables", "expected"), [("field", -11), ("published", -32.1)])
    def test_mixing_enthalpy_of_iron_and_aluminium(self, tables, expected):
        assert value("mixing_enthalpy", "FeAl", tables) == pytest.approx(4 * expected * 0.25)


class TestWhatHoldsForEveryAlloy:
    @settings(deadline=None, max_examples=40)
    @given(alloys, st.floats(1e-3, 1e3))
    def test_scale_of_the_amounts_does_not_matter(self, alloy, scale):
        scaled = {element: amount * scale for element, amount in alloy.items()}
        close(OF_FIELD(fractions_of(alloy)), OF_FIELD(fractions_of(scaled)))

    @settings(deadline=None, max_examples=40)
    @given(st.data(), alloys)
    def test_order_of_the_elements_does_not_matter(self, data, alloy):
        elements = data.draw(st.permutations(sorted({*alloy, "Al", "Fe"})))
        permuted = FeatureMap(NAMES, FIELD, elements)(fractions_of(alloy, elements))
        close(permuted, OF_FIELD(fractions_of(alloy)))

    @settings(deadline=None, max_examples=40)
    @given(alloys)
    def test_features_are_finite(self, alloy):
        assert OF_FIELD(fractions_of(alloy)).isfinite().all()

    @settings(deadline=None, max_examples=40)
    @given(alloys)
    def test_entropy_is_at_most_that_of_the_equimolar_alloy(self, alloy):
        entropy, largest = value("mixing_entropy", alloy), R * log(len(alloy))
        assert 0 <= entropy <= largest + 1e-12
        assert value("mixing_entropy", dict.fromkeys(alloy, 1)) == pytest.approx(largest)

    @settings(deadline=None, max_examples=40)
    @given(alloys)
    def test_means_lie_between_the_elements_and_spreads_are_at_most_half_the_range(self, alloy):
        values = dict(zip(NAMES, OF_FIELD(fractions_of(alloy))[0].tolist(), strict=True))
        properties = FIELD.properties.loc[list(alloy)]
        for name in properties.columns.intersection(NAMES):
            mean = values[name]
            assert properties[name].min() - 1e-9 <= mean <= properties[name].max() + 1e-9
            assert values[f"{name}_range"] == np.ptp(properties[name])
            if f"{name}_spread" in values:
                assert values[f"{name}_spread"] <= values[f"{name}_range"] / 2 + 1e-5

    def test_pure_elements_are_finite_without_spread_range_entropy_or_enthalpy(self):
        values = OF_FIELD(torch.eye(len(FIELD.elements), dtype=torch.float64))
        assert values.isfinite().all()
        none = [*SPREADS_AND_RANGES, "mixing_entropy", "mixing_enthalpy", "omega"]
        none += ["pair_enthalpy_min", "pair_enthalpy_max"]
        assert (values[:, [NAMES.index(name) for name in none]] == 0).all()

    def test_pure_elements_have_their_own_properties(self):
        values = OF_FIELD(torch.eye(len(FIELD.elements), dtype=torch.float64)).numpy()
        for name in FIELD.properties.columns.intersection(NAMES):
            np.testing.assert_array_equal(values[:, NAMES.index(name)], FIELD.properties[name])


class TestGradient:
    @settings(deadline=None, max_examples=40)
    @given(alloys)
    def test_is_finite(self, alloy):
        x = fractions_of(alloy).requires_grad_()
        OF_FIELD(x).sum().backward()
        assert x.grad.isfinite().all()

    @pytest.mark.parametrize("name", NAMES)
    def test_is_finite_at_pure_and_at_equimolar_alloys(self, name):
        pure = torch.eye(len(FIELD.elements), dtype=torch.float64)
        x = torch.cat([pure, (pure + pure.roll(1, 1)) / 2]).requires_grad_()
        values = FeatureMap([name], FIELD, FIELD.elements)(x)
        if values.requires_grad:
            values.sum().backward()
            assert x.grad.isfinite().all()

    def test_is_that_of_finite_differences(self):
        elements = ["Al", "Co", "Cr", "Fe", "Ti"]
        x = fractions_of("Al0.9CoCr1.2Fe1.3Ti0.6", elements).requires_grad_()
        assert torch.autograd.gradcheck(FeatureMap(NAMES, FIELD, elements), (x,))


class TestFeatureMap:
    @pytest.fixture
    def fractions(self):
        rng = np.random.default_rng(0)
        rows = rng.dirichlet(np.ones(len(FIELD.elements)), 50)
        rows[rows < np.quantile(rows, 0.95, axis=1, keepdims=True)] = 0
        return torch.tensor(rows / rows.sum(1, keepdims=True))

    @pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
    def test_chunks_do_not_change_values(self, fractions, chunk):
        torch.testing.assert_close(
            OF_FIELD(fractions, chunk=chunk), OF_FIELD(fractions), rtol=1e-12, atol=1e-12
        )

    @pytest.mark.parametrize("max_elements", [4, 5, 20, 70, 100])
    def test_max_elements_does_not_change_values(self, fractions, max_elements):
        assert (fractions > 0).sum(1).max() == 4
        torch.testing.assert_close(
            OF_FIELD(fractions, max_elements=max_elements),
            OF_FIELD(fractions),
            rtol=1e-12,
            atol=1e-9,
        )

    def test_one_alloy_is_computed_as_in_a_table_of_many(self, fractions):
        close(torch.cat([OF_FIELD(row[None]) for row in fractions]), OF_FIELD(fractions))

    @pytest.mark.parametrize("shape", [(50,), (5, 10), (2, 5, 5)])
    def test_leading_dimensions_are_kept(self, fractions, shape):
        values = OF_FIELD(fractions.reshape(*shape, -1))
        assert values.shape == (*shape, len(NAMES))
        assert torch.equal(values.reshape(50, -1), OF_FIELD(fractions))

    def test_a_single_row_without_leading_dimension(self, fractions):
        close(OF_FIELD(fractions[0]), OF_FIELD(fractions[:1])[0])

    def test_no_rows_give_no_rows(self, fractions):
        assert OF_FIELD(fractions[:0]).shape == (0, len(NAMES))

    def test_an_element_alone_is_enough_for_a_map(self):
        values = FeatureMap(NAMES, FIELD, ["Fe"])(torch.ones(2, 1, dtype=torch.float64))
        torch.testing.assert_close(values, OF_FIELD(fractions_of(["Fe", "Fe"])))

    def test_fractions_are_left_as_they_were(self, fractions):
        before = fractions.clone()
        OF_FIELD(fractions)
        assert torch.equal(fractions, before)

    def test_single_precision_stays_single_and_agrees(self, fractions):
        values = OF_FIELD(fractions.float())
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.double(), OF_FIELD(fractions), rtol=1e-3, atol=1e-2)

    @settings(deadline=None, max_examples=20)
    @given(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    def test_names_order_the_columns(self, names):
        feature_map = FeatureMap(names, FIELD, FIELD.elements)
        assert feature_map.names == tuple(names)
        x = fractions_of("Al0.5CoCrFeNi")
        assert torch.equal(feature_map(x), OF_FIELD(x)[:, [NAMES.index(name) for name in names]])

    def test_unknown_feature_names_the_nearest(self):
        with pytest.raises(SpecError, match=r"'mixing_entalpy'.*Did you mean 'mixing_enthalpy'\?"):
            FeatureMap(["omega", "mixing_entalpy"], FIELD, ["Al"])

    @pytest.mark.parametrize(("tables", "element"), [("published", "C"), ("field", "U")])
    def test_unknown_element_is_named_with_the_tables_and_what_they_cover(self, tables, element):
        with pytest.raises(UnknownElementError, match=f"'{element}'.*{tables}.*Ag, Al, "):
            FeatureMap(NAMES, load_tables(tables), ["Al", element])

    def test_no_feature_at_all_is_refused(self):
        with pytest.raises(SpecError, match="feature"):
            FeatureMap([], FIELD, ["Al", "Fe"])

    @settings(deadline=None, max_examples=30)
    @given(alloys, alloys)
    def test_rows_do_not_influence_each_other(self, alloy, other):
        assume(alloy != other)
        close(OF_FIELD(fractions_of([alloy, other]))[:1], OF_FIELD(fractions_of(alloy)))

    @pytest.mark.gpu
    def test_cuda_fractions_stay_on_cuda_and_agree(self, fractions):
        values = OF_FIELD(fractions.cuda())
        assert values.device.type == "cuda"
        assert values.dtype == torch.float64
        torch.testing.assert_close(values.cpu(), OF_FIELD(fractions), rtol=1e-9, atol=1e-9)


class TestRelaxed:
    """Features of elements that are present in part."""

    MAP = FeatureMap(tuple(FEATURES), load_tables("field"), ["Al", "Co", "Cr", "Fe", "Ni", "Zr"])

    def test_elements_that_are_there_or_not_have_the_features_of_the_alloy(self):
        x = torch.tensor(np.random.default_rng(0).dirichlet(np.ones(6), 50))
        x = x.masked_fill(x < 0.1, 0.0)
        x = x / x.sum(-1, keepdim=True)
        relaxed = self.MAP.relaxed(x, (x > 0).double())
        expected, several = self.MAP(x), (x > 0).sum(-1) > 1  # a pure element has no pair
        torch.testing.assert_close(relaxed[several], expected[several], rtol=1e-6, atol=1e-5)

    def test_nothing_jumps_where_an_element_goes(self):
        """Along a path on which zirconium, the largest atom, fades out of an alloy."""
        presence = torch.linspace(0, 1, 2001, dtype=torch.double)
        amount = torch.stack(
            [presence * 0.02 if i == 5 else 0 * presence + 0.2 for i in range(6)], 1
        )
        there = torch.ones_like(amount)
        there[:, 5] = presence
        values = self.MAP.relaxed(amount / amount.sum(-1, keepdim=True), there)
        whole = values[-1] - values[0]
        steps = (values[1:] - values[:-1]).abs().amax(0)
        names = list(self.MAP.names)
        assert whole[names.index("atomic_radius_range")] > 10
        assert whole[names.index("number_of_elements")] == pytest.approx(1)
        assert (steps <= 0.02 * (values.amax(0) - values.amin(0)) + 1e-9).all()

    def test_gradients_are_finite_at_the_corners(self):
        x = torch.eye(6, dtype=torch.double).requires_grad_()
        (slope,) = torch.autograd.grad(self.MAP.relaxed(x, torch.eye(6).double()).sum(), x)
        assert slope.isfinite().all()
