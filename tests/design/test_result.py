"""What a result is, says and draws: rows, amounts, files, warnings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pyro import poutine

from pyro_hea.design import AllowedElements, MaxElements, MinElements, Novel, scan_path
from pyro_hea.design.problem import Problem
from pyro_hea.design.program import design_program
from pyro_hea.errors import ConstraintError, DataError, DesignWarning
from pyro_hea.spec.names import check_names_of_targets, check_target_name


@pytest.fixture(scope="module")
def designs(vae):
    return vae.design({"single_phase": 1}, [MaxElements(5)], n=8, seed=0, min_probability=0)


def test_the_bars_are_the_alloys_of_the_table_with_their_probability(designs):
    ax = designs.plot_compositions()
    assert [label.get_text() for label in ax.get_yticklabels()] == designs.formulas
    widths = {}
    for patch in ax.patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        widths[row] = widths.get(row, 0) + patch.get_width()
    assert list(widths.values()) == pytest.approx([100] * 8)
    first = designs.table.iloc[0]
    assert any(f"{first['all_wishes']:.2f}" in text.get_text() for text in ax.texts)


def test_novelty_is_drawn_in_atomic_percent(designs):
    ax = designs.plot_novelty()
    drawn = ax.containers[0].lines[0].get_xydata()
    expected = designs.table[["novelty", "all_wishes"]].to_numpy() * [100, 1]
    np.testing.assert_allclose(drawn, expected)


def test_a_trail_is_drawn_element_by_element_on_the_axes_given(vae, designs):
    path = scan_path(vae.ensemble, ["CoCrFeNi", "AlCoNi"], {"single_phase": 1}, points=5)
    ax = designs.plot_novelty()
    assert path.plot_trail(ax) is ax
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["Al"], 100 * path.trail["Al"])


def test_what_is_not_there_is_not_drawn(designs):
    with pytest.raises(DataError, match="no trail: they start from no alloy"):
        designs.plot_trail()
    with pytest.raises(DataError, match="no Markov chains: ask for them with method='nuts'"):
        designs.plot_chains()


class TestOfOneResult:
    def test_one_alloy_is_a_row_and_several_are_a_result(self, designs):
        assert designs[0].equals(designs.table.iloc[0])
        assert designs[-1].name == designs.formulas[-1]
        assert [row.name for row in designs] == designs.formulas
        few = designs[designs.table["Cr"] > designs.table["Cr"].median()]
        assert 0 < len(few) < len(designs)
        assert (few.table["Cr"] > designs.table["Cr"].median()).all()
        drawn = few.idata["posterior"]["composition"].sel(element="Cr").to_numpy()[0]
        np.testing.assert_array_equal(drawn, few.table["Cr"])
        assert designs[2:4].formulas == designs.formulas[2:4]
        assert designs[[3, 1]].formulas == [designs.formulas[3], designs.formulas[1]]

    def test_what_is_no_design_is_refused(self, designs):
        with pytest.raises(IndexError, match="no design 8; there are 8"):
            designs[8]
        with pytest.raises(DataError, match="mask of 3 does not fit 8"):
            designs[[True, False, True]]

    def test_amounts_in_atoms_and_mass(self, designs):
        masses = {"Al": 26.98, "Co": 58.93, "Cr": 52.0, "Cu": 63.55, "Fe": 55.85, "Mn": 54.94}
        masses |= {"Ni": 58.69, "Ti": 47.87}
        grams = designs.compositions("g", button_g=20)
        np.testing.assert_allclose(grams.sum(axis=1), 20)
        row = designs[0]
        mass = {e: row[e] * m for e, m in masses.items()}
        for element in grams:
            expected = 20 * mass[element] / sum(mass.values())
            assert grams[element].iloc[0] == pytest.approx(expected, abs=0.01)
        np.testing.assert_allclose(designs.compositions("wt.%"), 5 * grams)
        np.testing.assert_allclose(designs.compositions().sum(axis=1), 100)
        with pytest.raises(DataError, match="mass of a button"):
            designs.compositions("g")
        with pytest.raises(DataError, match="unit='kg' is not allowed"):
            designs.compositions("kg")

    def test_each_number_has_a_unit(self, many):
        table = many.design({"hardness": (">", 300)}, n=3, min_probability=0).table
        units = table.attrs["units"]
        assert {c for c in table if table[c].dtype.kind == "f"} <= set(units)
        assert units["hardness_low"] == "HV"
        predicted = many.predict(["CoCrFeNi", "AlCoCrFeNi"])
        numbers = {c for c in predicted if predicted[c].dtype.kind == "f"}
        assert numbers == set(predicted.attrs["units"])
        assert predicted.attrs["units"]["hardness_sd"] == "HV"

    def test_excel_reads_back(self, designs, tmp_path):
        pytest.importorskip("openpyxl")
        designs.to_excel(tmp_path / "d.xlsx")
        read = pd.read_excel(tmp_path / "d.xlsx", index_col="formula")
        pd.testing.assert_frame_equal(read, designs.table, check_dtype=False)
        units = pd.read_excel(tmp_path / "d.xlsx", "units").set_index("column")["unit"]
        assert units.to_dict() == designs.table.attrs["units"]

    def test_a_cell_that_a_spreadsheet_would_run_is_marked_as_text(self, designs, tmp_path):
        name = '=HYPERLINK("http://example.org")'
        table = designs.table.assign(known=name).rename(columns={"novelty": "@novelty"})
        replace(designs, table=table).to_csv(tmp_path / "d.csv")
        read = pd.read_csv(tmp_path / "d.csv")
        assert set(read["known"]) == {f"'{name}"}
        assert "'@novelty" in read

    def test_markup_in_names_is_escaped(self, designs):
        table = designs.table.assign(known="<script>x</script>")
        odd = {**designs.attributes, "candidates": "<b>"}
        html = replace(designs, table=table, attributes=odd)._repr_html_()
        assert "<script>" not in html
        assert "<b>" not in html


class TestNothingInSilence:
    def test_designs_that_are_less_likely_than_not_are_counted_with_the_best(self, vae):
        with pytest.warns(DesignWarning, match="less likely than not") as caught:
            designs = vae.design({"single_phase": 1}, n=40, seed=1, agreement=0.5)
        q = designs.table["all_wishes"]
        (message,) = [str(w.message) for w in caught if "less likely" in str(w.message)]
        assert message.startswith(f"{(q < 0.5).sum()} of 40 designs")
        assert f"the best has a probability of {q.max():.2f}" in message

    def test_a_least_probability_leaves_them_out(self, vae):
        designs = vae.design({"single_phase": 1}, n=40, seed=1, agreement=0.5, min_probability=0.5)
        assert 0 < len(designs) < 40
        assert (designs.table["all_wishes"] >= 0.5).all()
        with pytest.raises(ConstraintError, match=r"the best, [\w.]+, has 0\.\d\d. Lower"):
            vae.design({"single_phase": 1}, n=10, seed=1, min_probability=0.9999)
        with pytest.raises(ConstraintError, match="min_probability=2 is not allowed"):
            vae.design({"single_phase": 1}, n=2, min_probability=2)

    def test_a_design_has_three_elements_unless_asked_otherwise(self, vae):
        three = AllowedElements("Co", "Fe", "Ni")

        def fewest(*constraints, **options):
            how = {"step": 0.1, "min_probability": 0, "progress": False, **options}
            grid = vae.screen({"single_phase": 1}, constraints, **how)
            return (grid.fractions > 0).sum(axis=1).min(), grid.attributes["assumed"]

        assert fewest(three) == (3, "MinElements(count=3), Novel(distance=0.02)")
        assert fewest(three, min_elements=1) == (1, "Novel(distance=0.02)")
        assert fewest(three, MinElements(2)) == (2, "Novel(distance=0.02)")
        assert fewest(AllowedElements("Co", "Ni"), Novel(0.01))[1] == ""  # leaves no three
        designs = vae.design({"single_phase": 1}, [three], n=20, min_probability=0)
        assert ((designs.fractions > 0).sum(axis=1) == 3).all()
        designs = vae.design({"single_phase": 1}, n=9, min_probability=0, min_elements=6)
        assert ((designs.fractions > 0).sum(axis=1) >= 6).all()

    def test_the_probability_within_a_tolerance_is_that_of_alloys_made_with_errors(self, vae):
        designs = vae.design({"single_phase": 1}, n=4, min_probability=0, tolerance=0.02)
        rng = np.random.default_rng(7)
        x = designs.fractions.to_numpy()
        made = x + np.where(x > 0, rng.uniform(-0.02, 0.02, (400, *x.shape)), 0)
        made = np.maximum(made, 0)
        made /= made.sum(-1, keepdims=True)
        columns = list(designs.fractions)
        for i, column in enumerate(designs.table["all_wishes_within_tolerance"]):
            q = vae.predict(pd.DataFrame(made[:, i], columns=columns))["single_phase"]
            assert column == pytest.approx(q.mean(), abs=4 * q.std() / np.sqrt(64) + 1e-3)
        with pytest.raises(ConstraintError, match="tolerance=5 is not allowed"):
            vae.design({"single_phase": 1}, n=2, tolerance=5)


def test_alloys_that_occur_twice_are_ranked_once(vae):
    names = ["CoNi", "NiCo", "Co2Ni2", "CoCrNi"] * 50
    result = vae.screen({"single_phase": 1}, candidates=names, progress=False)
    assert sorted(result.formulas) == ["CoCrNi", "CoNi"]
    path = vae.scan(["CoCrFeNi", "CoCrFeNi"], {"single_phase": 1}, points=30)
    assert len(path) == len(path.trail) == 30


def test_more_than_can_be_held_is_refused_with_the_number(vae):
    with pytest.raises(ConstraintError, match="n=1,000,000 is not allowed"):
        vae.design({"single_phase": 1}, n=10**6)
    with pytest.raises(DataError, match="4,000,000 points"):
        vae.scan(None, {"single_phase": 1}, points=2000)
    with pytest.raises(DataError, match="200,000 points"):
        vae.scan(["CoNi", "CoCr"], {"single_phase": 1}, points=200_000)


def test_no_target_can_be_called_like_a_column_or_a_site_of_designs(many):
    wishes = {"hardness": ("max"), "density": "min"}
    designs = many.design(wishes, n=3, min_probability=0, tolerance=0.01)
    path = many.nearest("AlTi", {"hardness": ("<", 1e4)}, confidence=0.01)
    problem = Problem.of(many.ensemble, wishes, with_objectives=True)
    sites = poutine.trace(design_program).get_trace(problem, 2).nodes
    names = {*designs.table, *path.trail, *designs.idata["posterior"].data_vars, *sites}
    own = {*many.spec.target_names, *many.ensemble.elements, "density", "_INPUT", "_RETURN"}
    derived = tuple(f"{name}{sign}" for name in many.spec.target_names for sign in "_[")
    for name in (n for n in names - own if not n.startswith(derived)):
        with pytest.raises(ValueError, match="already"):
            check_target_name(name)
    for name in (n for n in sites if n.endswith("_noise")):
        target = name.removesuffix("_noise")
        with pytest.raises(ValueError, match="site of the model"):
            check_names_of_targets([target, name], {})
