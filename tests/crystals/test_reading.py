import warnings

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from pyro_hea import read_crystals
from pyro_hea.errors import DataError, MissingFileError, StructureWarning
from pyro_hea.materials.crystals import write_cif


@pytest.fixture
def folder(crystals, tmp_path):
    """Two CIFs and a POSCAR."""
    write_cif(crystals.crystals[1], tmp_path / "one.cif")
    write_cif(crystals.crystals[2], tmp_path / "two.cif")
    Poscar(crystals.structures[3]).write_file(str(tmp_path / "POSCAR_three"))
    return tmp_path


def partly_occupied(path):
    Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]).to(str(path), fmt="cif")


def overlapping(path):
    Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0]]).to(str(path), fmt="cif")


def large(path):
    places = "\n".join(f"{k / 10000} 0 0" for k in range(10000))
    path.write_text(f"large\n1.0\n9999 0 0\n0 4 0\n0 0 4\nH\n10000\ndirect\n{places}\n")


def no_element(path):
    path.write_text("no element\n1.0\n4 0 0\n0 4 0\n0 0 4\nQq\n1\ndirect\n0 0 0\n")


def nonsense(path):
    path.write_text("this is no structure")


def test_structures_of_several_formats_are_read(crystals, folder):
    read = read_crystals(folder)
    assert read.ids == ["POSCAR_three", "one", "two"]
    assert read.sources["file"].tolist() == ["POSCAR_three", "one.cif", "two.cif"]
    assert len(read.left_out) == 0
    for crystal, i in zip(read.crystals, (3, 1, 2), strict=True):
        assert crystal.prototype == crystals.crystals[i].prototype
        assert StructureMatcher().fit(crystal.structure(), crystals.structures[i])


@pytest.mark.parametrize(
    ("name", "write", "why"),
    [
        ("bad.cif", partly_occupied, "partly occupied"),
        ("bad.cif", overlapping, "overlap: they are 0.08 Å apart"),
        ("bad.vasp", large, "10000 atoms in the cell"),
        ("bad.cif", nonsense, "pymatgen cannot read it"),
        ("bad.poscar", no_element, "'Qq' is no element"),
    ],
)
def test_a_bad_file_is_named_and_the_rest_kept(folder, name, write, why):
    write(folder / name)
    with pytest.warns(StructureWarning, match=f"1 of 4 structures are left out: {name}: .*{why}"):
        read = read_crystals(folder)
    assert read.ids == ["POSCAR_three", "one", "two"]
    assert list(read.left_out.index) == [name]
    assert "1 files left out" in repr(read)


def test_of_two_structures_in_one_cif_none_is_lost_silently(folder):
    one = (folder / "one.cif").read_text()
    (folder / "both.cif").write_text(one + one.replace("data_", "data_other_"))
    with pytest.warns(StructureWarning, match=r"both\.cif: it holds 2 structures; write each to"):
        assert read_crystals(folder).ids == ["POSCAR_three", "one", "two"]


@pytest.mark.parametrize("symprec", [-0.01, 0, float("nan"), float("inf")])
def test_a_symprec_that_is_no_distance_is_refused(folder, symprec):
    with pytest.raises(DataError, match=r"distance in Å, as 0.01"):  # spglib crashes at -0.01
        read_crystals(folder, symprec=symprec)


def test_a_file_in_place_of_the_folder_is_named(folder):
    with pytest.raises(MissingFileError, match="is a file; give the folder that it is in"):
        read_crystals(folder / "one.cif")


def test_two_files_of_one_name_are_not_confused(crystals, folder):
    Poscar(crystals.structures[5]).write_file(str(folder / "two.vasp"))
    with pytest.warns(StructureWarning, match=r"two.vasp: has the same name as two.cif"):
        assert len(read_crystals(folder)) == 3


def test_a_folder_of_bad_files_is_an_error(tmp_path):
    nonsense(tmp_path / "bad.cif")
    with pytest.raises(DataError, match=r"none of 1 structures can be read. bad.cif: pymatgen"):
        read_crystals(tmp_path)


def test_an_empty_folder_and_none_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"no structure file; named \*.cif"):
        read_crystals(tmp_path)
    with pytest.raises(MissingFileError, match=r"'.*elsewhere' does not exist"):
        read_crystals(tmp_path / "elsewhere")


def test_targets_are_joined_by_id_or_file_name(folder):
    table = pd.DataFrame(
        {"id": ["two.cif", "one", "POSCAR_three"], "gap": ["1.5", "", "0"], "yield": [1, 2, 3]}
    )
    table.to_csv(folder / "table.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_crystals(folder, folder / "table.csv")
    assert read.targets.loc["two"].tolist() == [1.5, 1]
    assert read.targets.loc["POSCAR_three"].tolist() == [0, 3]
    assert read.targets["gap"].isna().tolist() == [False, True, False]


def test_excel_and_an_index_of_ids_are_read(folder):
    table = pd.DataFrame({"id": ["two", "one", "POSCAR_three"], "gap": [1.5, np.nan, 0.0]})
    table.to_excel(folder / "table.xlsx", index=False)
    for given in (folder / "table.xlsx", table.set_index("id")):
        assert read_crystals(folder, given).targets.loc["two", "gap"] == 1.5


def test_truth_is_read_as_0_and_1(folder):
    table = pd.DataFrame({"id": ["one", "two", "POSCAR_three"], "metal": [True, False, True]})
    read = read_crystals(folder, table)
    assert read.targets["metal"].loc[["one", "two"]].tolist() == [1, 0]


def test_columns_that_follow_from_the_structures_are_ignored_aloud(folder):
    table = pd.DataFrame({"id": ["one", "two", "POSCAR_three"], "atoms": 3, "gap": 1.0})
    with pytest.warns(StructureWarning, match="follow from the structures are ignored: atoms"):
        read = read_crystals(folder, table)
    assert read.table.shape == (3, 7)


def test_a_column_of_names_is_ignored_aloud(folder):
    table = pd.DataFrame({"id": ["one", "two", "POSCAR_three"], "who": ["a", "b", "3"], "gap": 1.0})
    with pytest.warns(StructureWarning, match="columns without numbers are ignored: who"):
        assert list(read_crystals(folder, table).targets) == ["gap"]


def test_rows_and_files_that_miss_each_other_are_named(folder):
    table = pd.DataFrame({"id": ["one", "ten"], "gap": [1.0, 2.0]})
    with (
        pytest.warns(StructureWarning, match="1 rows have no structure: ten"),
        pytest.warns(StructureWarning, match="2 structures have no row; .*: POSCAR_three, two"),
    ):
        read = read_crystals(folder, table)
    assert read.targets["gap"].count() == 1


def test_a_row_of_a_file_left_out_is_not_missed_again(folder):
    nonsense(folder / "bad.cif")
    table = pd.DataFrame({"id": ["one", "two", "POSCAR_three", "bad"], "gap": 1.0})
    with pytest.warns(StructureWarning) as caught:
        read_crystals(folder, table)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"Id": ["one"], "gap": [1]}, "no column 'id'. Did you mean 'Id'"),
        ({"id": ["one", "one.cif"], "gap": [1, 2]}, "'one' occurs more than once"),
        (
            {"id": ["one", "two", "POSCAR_three"], "gap": ["1", "2", "big"]},
            "column 'gap', 'POSCAR_three': 'big' is no number",
        ),
    ],
)
def test_a_faulty_table_is_an_error(folder, table, why):
    with pytest.raises(DataError, match=why):
        read_crystals(folder, pd.DataFrame(table))


def test_a_missing_table_is_an_error(folder):
    with pytest.raises(MissingFileError, match=r"table 'nowhere\.csv' does not exist"):
        read_crystals(folder, "nowhere.csv")


def test_what_is_no_folder_and_no_table_is_named(folder):
    with pytest.raises(DataError, match=r"from a folder of CIF or POSCAR files, not from list"):
        read_crystals([folder])
    gaps = pd.Series([5.0], ["salt"])
    with pytest.raises(DataError, match=r"not Series; .* series.rename_axis\('id'\)"):
        read_crystals(folder, gaps)
