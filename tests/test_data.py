import importlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyro_hea import load_alloys
from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.dataset.embedded import FILM_SOURCES, OTHER_SOURCES, TRUSTED_SOURCES
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.indicators import INDICATOR_UNITS, load_element_indicators

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
FACTS = ROOT.parent / "shared" / "facts"

COLUMNS = {
    "elements": [
        "element",
        "melting_temperature_K",
        "molar_volume_cm3_mol",
        "bulk_modulus_GPa",
        "atomic_radius_pm",
        "electronegativity_pauling",
        "valence_electron_concentration",
        "density_g_cm3",
        "atomic_mass_g_mol",
    ],
    "elements_published": [
        "element",
        "melting_temperature_K",
        "molar_volume_cm3_mol",
        "bulk_modulus_GPa",
        "atomic_radius_pm",
        "electronegativity_pauling",
        "valence_published",
    ],
    "pairs": ["element_a", "element_b", "mixing_enthalpy_kJ_mol"],
    "pairs_published": ["element_a", "element_b", "mixing_enthalpy_kJ_mol"],
    "alloys": ["formula", "number_of_elements", "published_split", "published_straddles"],
    "reports": [
        "formula",
        "target",
        "value",
        "unit",
        "source",
        "reported_formula",
        "published_split",
        "processing",
        "test_temperature_C",
        "test_type",
        "rolling_reduction_pct",
        "anneal_temperature_C",
        "anneal_time_min",
        "doi",
        "year",
    ],
    "phases": ["phases", "phase", "single_phase", "note"],
    "films": ["formula", "phases", "source"],
    "indicators": ["element", *INDICATOR_UNITS],
}

RANGES = {
    "melting_temperature_K": (10, 4000),
    "molar_volume_cm3_mol": (4, 75),
    "bulk_modulus_GPa": (0.1, 450),
    "atomic_radius_pm": (20, 270),
    "electronegativity_pauling": (0.7, 3.1),
    "valence_electron_concentration": (1, 12),
    "density_g_cm3": (0.05, 23),
    "atomic_mass_g_mol": (1, 210),
}

UNITS = {
    "single_phase": "",
    "phase": "",
    "hardness": "HV",
    "yield_strength": "MPa",
    "ultimate_strength": "MPa",
    "elongation": "%",
    "fracture_strain": "%",
    "young_modulus": "GPa",
    "density": "g/cm3",
}


def file_of(name: str) -> str:
    return f"{name}.csv.xz" if name == "films" else f"{name}.csv"


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(DATA / file_of(name))


@pytest.fixture(scope="module")
def alloys() -> pd.DataFrame:
    return read("alloys")


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    return read("reports")


@pytest.mark.parametrize("name", COLUMNS)
def test_table_has_its_columns(name):
    assert list(read(name).columns) == COLUMNS[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_datasheet_describes_every_column(name):
    datasheet = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"`{file_of(name)}`" in datasheet
    for column in COLUMNS[name]:
        assert f"`{column}`" in datasheet


class TestElementsAndPairs:
    @pytest.mark.parametrize("column", RANGES)
    def test_property_is_in_its_range(self, column):
        values = read("elements")[column]
        assert pd.api.types.is_numeric_dtype(values)
        assert values.between(*RANGES[column]).all()

    @pytest.mark.parametrize("suffix", ["", "_published"])
    def test_every_pair_is_there_once(self, suffix):
        elements = read(f"elements{suffix}")["element"]
        pairs = read(f"pairs{suffix}")
        assert elements.is_monotonic_increasing
        assert elements.is_unique
        assert (pairs["element_a"] < pairs["element_b"]).all()
        assert not pairs.duplicated(["element_a", "element_b"]).any()
        assert len(pairs) == len(elements) * (len(elements) - 1) / 2
        assert {*pairs["element_a"], *pairs["element_b"]} == set(elements)
        assert pairs["mixing_enthalpy_kJ_mol"].between(-300, 300).all()

    def test_density_is_mass_over_volume(self):
        table = read("elements").set_index("element")
        density = table["atomic_mass_g_mol"] / table["molar_volume_cm3_mol"]
        assert np.allclose(table["density_g_cm3"], density, rtol=0.07)

    def test_published_elements_are_among_the_fields_and_near_them(self):
        field, published = load_tables("field"), load_tables("published")
        assert set(published.elements) <= set(field.elements)
        shared = [c for c in published.properties.columns if c != "valence_electron_concentration"]
        theirs = published.properties[shared]
        apart = (field.properties.loc[theirs.index, shared] / theirs - 1).abs() > 0.05
        faults = {("W", "electronegativity"), ("Sn", "melting_temperature")}
        faults |= {("Au", "electronegativity"), ("Li", "bulk_modulus")}
        assert {key for key, is_apart in apart.stack().items() if is_apart} == faults


class TestAlloys:
    def test_formulas_are_canonical_unique_and_sorted(self, alloys):
        assert alloys["formula"].is_unique
        assert alloys["formula"].is_monotonic_increasing
        assert [format_formula(formula) for formula in alloys["formula"]] == list(alloys["formula"])

    def test_compositions_are_distinct_and_covered_by_the_field_tables(self, alloys):
        fractions = fraction_table(alloys["formula"], load_tables("field").elements).to_numpy()
        assert ((fractions > 0).sum(axis=1) == alloys["number_of_elements"]).all()
        nearest = [np.sort(np.abs(fractions - row).sum(axis=1) / 2)[1] for row in fractions]
        assert min(nearest) > 5e-4

    def test_splits_follow_from_the_reports(self, alloys, reports):
        order = ["labelled", "unlabelled", "validation", "test"]
        priority = ["test", "validation", "labelled", "unlabelled"]
        seen = reports.dropna(subset="published_split").groupby("formula")["published_split"]
        for formula, parts in seen.agg(set).items():
            alloy = alloys.set_index("formula").loc[formula]
            assert alloy["published_split"] == next(p for p in priority if p in parts)
            if len(parts) > 1:
                joined = "+".join(p for p in order if p in parts)
                assert alloy["published_straddles"] == joined
            else:
                assert pd.isna(alloy["published_straddles"])
        unseen = alloys[~alloys["formula"].isin(list(seen.groups))]
        assert unseen["published_split"].isna().all()

    def test_known_straddlers(self, alloys):
        straddles = alloys.set_index("formula")["published_straddles"].dropna().to_dict()
        assert straddles == {
            "Al0.5CoCrCu0.5FeNi": "labelled+test",
            "Al1.2CrCuFeNi2": "labelled+unlabelled",
            "AlCoCrFeNi": "labelled+test",
        }


class TestReports:
    def test_every_alloy_has_reports_and_every_report_an_alloy(self, alloys, reports):
        assert set(alloys["formula"]) == set(reports["formula"])

    def test_reported_formula_is_its_alloy(self, reports):
        spelled = reports.drop_duplicates("reported_formula")
        elements = load_tables("field").elements
        reported = fraction_table(spelled["reported_formula"], elements).to_numpy()
        filed = fraction_table(spelled["formula"], elements).to_numpy()
        assert np.abs(reported - filed).sum(axis=1).max() / 2 < 5.1e-4

    def test_published_reports_and_split_are_whole(self, reports):
        published = reports[reports["source"] == "zeng2024"]
        assert len(published) == 1373
        assert set(published["target"]) == {"single_phase"}
        assert published["value"].astype(int).value_counts().to_dict() == {1: 710, 0: 663}
        assert published["published_split"].value_counts().to_dict() == {
            "labelled": 864,
            "unlabelled": 296,
            "test": 138,
            "validation": 75,
        }
        assert reports.loc[reports["source"] != "zeng2024", "published_split"].isna().all()

    def test_targets_have_their_units_and_classes(self, reports):
        assert reports.fillna({"unit": ""}).groupby("target")["unit"].unique().map(
            list
        ).to_dict() == {target: [unit] for target, unit in UNITS.items()}
        values = reports.groupby("target")["value"]
        assert set(values.get_group("single_phase")) == {"0", "1"}
        assert set(values.get_group("phase")) <= {"bcc", "fcc", "hcp", "several"}
        for target in set(UNITS) - {"single_phase", "phase"}:
            assert (values.get_group(target).astype(float) > 0).all()

    def test_phase_and_single_phase_of_a_record_agree(self, reports):
        borg = reports[reports["source"] == "borg2020"]
        single = borg.loc[borg["target"] == "single_phase", "value"].to_numpy() == "1"
        several = borg.loc[borg["target"] == "phase", "value"].to_numpy() == "several"
        assert (single == ~several).all()

    def test_conditions_are_possible(self, reports):
        assert set(reports["source"]) == {*TRUSTED_SOURCES, *OTHER_SOURCES} - set(FILM_SOURCES)
        assert set(reports["test_type"].dropna()) == {"C", "T"}
        assert set(reports["processing"].dropna()) == {
            "ANNEAL",
            "CAST",
            "OTHER",
            "POWDER",
            "WROUGHT",
        }
        assert reports["test_temperature_C"].dropna().between(-273.15, 2000).all()
        assert reports["year"].dropna().between(2004, 2024).all()
        first = reports["source"].isin(["zeng2024", "borg2020", "wen2019"])
        assert reports["doi"].notna().equals(first)
        assert reports.loc[first, "doi"].str.startswith("10.").all()

    def test_rolled_and_annealed_alloys_say_how(self, reports):
        rolled = reports[reports["source"] == "bajpai_strength"]
        assert rolled["rolling_reduction_pct"].between(1, 99).all()
        assert rolled["anneal_temperature_C"].between(400, 1300).all()
        assert rolled["anneal_time_min"].between(0.1, 1500).all()
        others = reports.drop(rolled.index)
        assert others["anneal_temperature_C"].isna().all()


class TestSources:
    def test_the_datasheet_names_each_with_its_licence(self):
        datasheet = (DATA / "README.md").read_text(encoding="utf-8")
        sources = datasheet[datasheet.index("## Sources") : datasheet.index("## Alloys")]
        for source in (*TRUSTED_SOURCES, *OTHER_SOURCES):
            assert f"`{source}`" in sources

    def test_the_default_reads_what_is_trusted(self):
        data = load_alloys()
        assert set(data.reports["source"]) == set(TRUSTED_SOURCES)
        assert len(data) == 1606
        assert data.labels["yield_strength"].count() == 342
        hot = data.reports.query("source == 'metallor_rhea'")["test_temperature_C"]
        assert hot.max() == 1600

    def test_more_sources_change_nothing_of_the_first(self, reports):
        """Formulas, splits and reports of zeng2024 and borg2020 are those of before."""
        two = load_alloys(["zeng2024", "borg2020"])
        assert (len(two), len(two.reports)) == (1495, 5788)
        assert list(reports["source"][:5788].unique()) == ["zeng2024", "borg2020"]
        everything = load_alloys()
        shared = two.fractions.index
        assert set(shared) <= set(everything.formulas)
        again = everything.fractions.loc[shared, list(two.elements)]
        pd.testing.assert_frame_equal(again, two.fractions)
        assert everything.parts.loc[shared].equals(two.parts)

    @pytest.mark.parametrize(
        ("source", "alloys"), [("kube2019_films", 2203), ("ren2020_films", 2198)]
    )
    def test_films_are_read_by_name_only(self, source, alloys):
        films = load_alloys(source)
        assert len(films) == alloys
        assert set(films.reports["processing"]) == {"SPUTTERED"}
        assert set(films.labels["phase"].dropna()) == {"bcc", "fcc", "several"}
        unlabelled = read("films").query(f"source == '{source}' and phases in ['AM', 'IM']")
        assert films.labels["single_phase"].isna().sum() == len(unlabelled)
        both = load_alloys(["zeng2024", source])
        assert len(both) == 1368 + alloys

    def test_indicators_are_of_elements_of_the_tables(self):
        table = load_element_indicators()
        assert set(table.index) <= set(load_tables("field").elements)
        assert (table > 0).all(axis=None)
        assert table.loc["Ru"].idxmax() == "rock_to_metal_kg_kg"
        table.loc["Fe"] = 0.0
        assert load_element_indicators().loc["Fe", "price_USD_kg"] == 0.7


class TestPhases:
    @pytest.mark.parametrize(
        ("spelling", "phase", "single"),
        [
            ("FCC", "fcc", 1),
            ("B2", "bcc", 1),
            ("BCC+BCC", "several", 0),
            ("FCC+Sec.", "several", 0),
            ("B2+Sec.", "several", 0),
            ("BCC + lm", "several", 0),
            ("FCC+AM", "several", 0),
        ],
    )
    def test_label_rule(self, spelling, phase, single):
        row = read("phases").set_index("phases").loc[spelling]
        assert (row["phase"], row["single_phase"]) == (phase, single)

    def test_every_spelling_is_there_once_and_an_unnamed_phase_is_no_label(self):
        phases = read("phases")
        assert phases["phases"].is_unique
        assert len(phases) == 55
        unnamed = phases[phases["phase"].isna()]
        assert list(unnamed["phases"]) == ["AM", "IM", "Im", "Other"]
        assert unnamed["single_phase"].isna().all()


class TestRebuilding:
    @pytest.fixture
    def build(self):
        if not FACTS.is_dir():
            pytest.skip("the raw facts are not beside the repository")
        pytest.importorskip(
            "matminer", reason="matminer is not installed: pip install -e .[build-data]"
        )
        return importlib.import_module("pyro_hea.data.build").main

    def test_reproduces_the_committed_tables(self, build, tmp_path, capsys):
        assert build(["--facts", str(FACTS), "--out", str(tmp_path)]) == 0
        assert "1373 reports on 1368 alloys" in capsys.readouterr().out
        for name in COLUMNS:
            built, committed = (folder / file_of(name) for folder in (tmp_path, DATA))
            assert built.read_bytes() == committed.read_bytes()

    def test_check_notices_a_difference_and_writes_nothing(self, build, tmp_path, capsys):
        for name in COLUMNS:
            shutil.copy(DATA / file_of(name), tmp_path)
        arguments = ["--facts", str(FACTS), "--out", str(tmp_path), "--check"]
        assert build(arguments) == 0
        altered = tmp_path / "pairs.csv"
        altered.write_text("Ag,Al,-5\n", encoding="utf-8")
        assert build(arguments) == 1
        assert "differ: pairs.csv" in capsys.readouterr().out
        assert altered.read_text(encoding="utf-8") == "Ag,Al,-5\n"
