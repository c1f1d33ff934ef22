import lzma
from pathlib import Path

import pandas as pd
import pytest
from pyro_hea.data import build_crystals, build_wyckoff

from pyro_hea.materials.crystals import TARGET_UNITS, WyckoffStructure

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
FACTS = ROOT.parent / "shared" / "facts" / "crystals"

needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="the raw facts are not here")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    path = DATA / "crystals.csv.xz"
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def test_the_packaged_tables_are_small():
    sizes = [(DATA / name).stat().st_size for name in ("crystals.csv.xz", "wyckoff.csv")]
    assert sum(sizes) < 3e6


def test_the_datasheet_describes_every_column_with_its_unit(table):
    datasheet = (DATA / "README.md").read_text(encoding="utf-8")
    positions = pd.read_csv(DATA / "wyckoff.csv", nrows=0)
    for column in [*table, *positions]:
        assert f"`{column}`" in datasheet
    for name, unit in TARGET_UNITS.items():
        if name in table and unit:
            (row,) = [line for line in datasheet.splitlines() if line.startswith(f"| `{name}`")]
            assert f"| {unit} |" in row
    for source in ("phonondb", "mp_matcalc", "mp_topology", "dejong2015", "mp_me228"):
        assert f"`{source}`" in datasheet


def test_sources_are_named(table):
    sources = {"phonondb", "mp_matcalc", "mp_topology", "dejong2015"}
    assert set(table["structure_source"]) == sources
    elastic = table["elastic_source"].dropna()
    assert set(elastic) == {"mp_matcalc", "mp_me228", "dejong2015"}
    assert (table["elastic_source"].notna() == table["bulk_modulus"].notna()).all()


def test_targets_are_in_their_ranges(table):
    ranges = {
        "acoustic_debye_temperature": (5, 2000),
        "debye_temperature": (20, 3100),
        "elastic_debye_temperature": (20, 2500),
        "gap": (0, 12),
        "hole_mass": (1e-3, 1e3),
        "electron_mass": (1e-3, 1e3),
        "bulk_modulus": (1, 600),
        "shear_modulus": (0, 600),
        "heat_capacity": (0, 24.95),  # Dulong and Petit
        "electronic_permittivity": (1, 100),
        "static_permittivity": (1, 1000),
    }
    for name, (low, high) in ranges.items():
        assert table[name].dropna().between(low, high).all(), name


def test_lattice_permittivity_adds_to_the_electronic_one(table):
    both = table.dropna(subset=["electronic_permittivity", "static_permittivity"])
    assert (both["static_permittivity"] >= both["electronic_permittivity"] - 0.01).all()


def test_structures_are_in_their_canonical_setting(table):
    for row in table.iloc[::400].itertuples():
        text = f"{row.space_group} | {row.lattice} | {row.orbits}"
        crystal = WyckoffStructure.from_text(text)
        assert crystal.canonical().letters == crystal.letters
        assert crystal.formula == row.formula


@needs_facts
@pytest.mark.slow
def test_the_table_is_what_its_script_builds():
    built = build_crystals.crystal_table(FACTS).to_csv(index=False)
    packaged = lzma.decompress((DATA / "crystals.csv.xz").read_bytes()).decode()
    assert built == packaged


@needs_facts
@pytest.mark.slow
def test_prototypes_and_volumes_are_those_of_the_facts(packaged):
    facts = pd.concat(
        pd.read_csv(FACTS / name, keep_default_na=False, na_values=[""]).set_index("id")
        for name in ("structures.csv", "electronic.csv")
    ).loc[packaged.ids]
    assert (facts["prototype"] == packaged.info["prototype"]).all()
    assert (facts["atoms"] == packaged.info["atoms"]).all()
    ratio = packaged.info["volume_per_atom"] / facts["volume_per_atom"]
    assert ratio.between(0.998, 1.002).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib
def test_wyckoff_positions_are_found_again():
    table = pd.read_csv(DATA / "wyckoff.csv", dtype={"site_symmetry": str})
    groups = build_wyckoff.groups()
    for number in (2, 12, 36, 62, 139, 148, 166, 186, 194, 221):
        known = table[table["space_group"] == number].reset_index(drop=True)
        found = build_wyckoff.named(groups[number]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, known)
