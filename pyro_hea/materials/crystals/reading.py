"""The packaged crystals, and structure files of a user's own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_hea.errors import (
    DataError,
    MissingFileError,
    PyroHEAError,
    StructureError,
    StructureWarning,
    nearest,
    warn,
)
from pyro_hea.materials.alloys.dataset.files import read_table
from pyro_hea.materials.crystals.dataset import COMPUTED, TARGET_UNITS, CrystalDataset
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

if TYPE_CHECKING:
    from pymatgen.core import Structure

SOFT_MODE_THZ = -0.3
"""A crystal with a lower frequency has soft modes."""

_SOURCES = ["structure_source", "elastic_source", "duplicate_of"]
_SUFFIXES = (".cif", ".vasp", ".poscar")
_NAMES = ("POSCAR", "CONTCAR")
_BLOCK = re.compile(r"^data_", re.MULTILINE | re.IGNORECASE)
_TRUTH = {"True": "1", "False": "0"}
_SHOWN = 5


def load_crystals() -> CrystalDataset:
    """Load the packaged crystals with their thermal and electronic targets.

    All were computed by density functional theory. The datasheet, `data/README.md`, tells their
    sources, licences and known faults. Crystals with soft modes have no harmonic targets.

    Returns
    -------
    CrystalDataset
        15 898 crystals of 89 elements; many targets are known of a part only.
    """
    with as_file(files("pyro_hea.data") / "crystals.csv.xz") as path:
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""]).set_index("id")
    parts = (rows["space_group"].map(str), rows["lattice"].map(str), rows["orbits"])
    text = pd.Series([" | ".join(part) for part in zip(*parts, strict=True)], rows.index)
    gap, lowest = rows["gap"], rows["minimum_frequency"]
    rows["metal"] = (gap == 0).astype(float).where(gap.notna())
    rows["soft_modes"] = (lowest < SOFT_MODE_THZ).astype(float).where(lowest.notna())
    targets = rows[list(TARGET_UNITS)].astype(np.float64)
    return CrystalDataset(text.rename("text"), targets, rows[_SOURCES])


def read_crystals(
    folder: str | Path,
    table: str | Path | pd.DataFrame | None = None,
    *,
    id_column: str = "id",
    symprec: float = 0.01,
) -> CrystalDataset:
    """Read a user's own structure files, and what is known of them.

    Parameters
    ----------
    folder : str or Path
        With files ``*.cif``, ``*.vasp``, ``*.poscar``, ``POSCAR*`` or ``CONTCAR*``. The id of a
        crystal is the name of its file without the suffix.
    table : str, Path or DataFrame, optional
        CSV, Excel (`.xlsx`), Parquet or a DataFrame, with a column of ids or file names, or an
        index of that name. Columns of numbers are targets (of True and False, 1 and 0), blanks
        unknown.
    id_column : str
    symprec : float
        How far atoms may be from symmetric places, in Å; see `WyckoffStructure.from_structure`.

    Returns
    -------
    CrystalDataset
        What could be read. `left_out` names each file that could not, and why.

    Raises
    ------
    MissingFileError
        Without the folder or the table.
    DataError
        If no structure can be read, or the table has no ids, an id twice, or text among numbers.

    Warns
    -----
    StructureWarning
        For files that are left out, files and rows that do not find each other, and columns that
        are ignored.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pyro_hea.materials.crystals import write_cif
    >>> salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    >>> with TemporaryDirectory() as folder:
    ...     _ = write_cif(salt, Path(folder) / "salt.cif")
    ...     crystals = read_crystals(folder, pd.DataFrame({"id": ["salt"], "gap": [5.0]}))
    >>> crystals
    CrystalDataset(1 crystals of 2 elements; gap: 1)
    >>> crystals.info["prototype"].item()
    '225:a|b'
    """
    if not isinstance(folder, str | Path):
        raise DataError(
            f"structures are read from a folder of CIF or POSCAR files, not from "
            f"{type(folder).__name__}; write structures there with Structure.to(filename)"
        )
    folder = Path(folder)
    if not 0 < symprec < np.inf:
        raise DataError(f"symprec={symprec} is not allowed; it is a distance in Å, as 0.01")
    paths = _structure_files(folder)
    found: dict[str, tuple[Path, WyckoffStructure, str]] = {}
    left_out: dict[str, str] = {}
    for path in paths:
        try:
            if path.stem in found:
                raise StructureError(f"has the same name as {found[path.stem][0].name}; rename it")
            structure, note = _read_structure(path)
            found[path.stem] = (path, WyckoffStructure.from_structure(structure, symprec), note)
        except PyroHEAError as error:
            left_out[path.name] = str(error)
    if not found:
        first, why = next(iter(left_out.items()))
        raise DataError(f"{folder}: none of {len(paths)} structures can be read. {first}: {why}")
    if left_out:
        _warn(
            f"{folder}: {len(left_out)} of {len(paths)} structures are left out: "
            f"{_listed([f'{name}: {why}' for name, why in left_out.items()], '; ')}. See `left_out`"
        )
    text = pd.Series({name: crystal.text for name, (_, crystal, _) in found.items()}, name="text")
    text.index.name = "id"
    sources = pd.DataFrame(
        {
            "file": [path.name for path, _, _ in found.values()],
            "note": [n for *_, n in found.values()],
        },
        text.index,
    )
    targets = pd.DataFrame(index=text.index)
    if table is not None:
        names = {name: name for name in text.index} | dict(
            zip(sources["file"], text.index, strict=True)
        )
        targets = _targets(table, id_column, names, left_out).reindex(text.index)
    return CrystalDataset(text, targets, sources, pd.Series(left_out, dtype=str, name="reason"))


def _structure_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        if folder.is_file():
            raise MissingFileError(
                f"'{folder}' is a file; give the folder that it is in, '{folder.parent}'"
            )
        raise MissingFileError(f"folder '{folder}' does not exist")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and (path.suffix.lower() in _SUFFIXES or path.name.upper().startswith(_NAMES))
    )
    if not paths:
        raise DataError(
            f"{folder}: there is no structure file; named {', '.join('*' + s for s in _SUFFIXES)}, "
            f"{' or '.join(name + '*' for name in _NAMES)}"
        )
    return paths


def _read_structure(path: Path) -> tuple[Structure, str]:
    """The structure of a file, and what pymatgen warned of."""
    from pymatgen.core import Structure
    from pymatgen.io.vasp import Poscar

    is_cif = path.suffix.lower() == ".cif"
    if is_cif:
        blocks = _BLOCK.split(path.read_text(errors="replace"))
        count = sum("_atom_site_fract_x" in block.lower() for block in blocks)
        if count > 1:
            raise StructureError(f"it holds {count} structures; write each to a file of its own")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if is_cif:
                structure = Structure.from_file(path)
            else:
                structure = Poscar.from_file(path, check_for_potcar=False).structure
        except Exception as error:  # parsers raise what they please, from KeyError to IndexError
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StructureError(f"pymatgen cannot read it: {reason}") from error
    notes = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    return structure, "; ".join(notes)


def _targets(
    table: str | Path | pd.DataFrame,
    id_column: str,
    names: Mapping[str, str],
    left_out: Mapping[str, str],
) -> pd.DataFrame:
    rows, where = read_table(table)
    if id_column not in rows:
        columns = [str(name) for name in rows.columns]
        raise DataError(
            f"{where}: there is no column '{id_column}'.{nearest(id_column, columns)} Columns: "
            f"{', '.join(columns)}. Name it with id_column"
        )
    ids = rows[id_column].astype(str).str.strip()
    rows = rows.drop(columns=id_column).set_axis(ids.map(lambda name: names.get(name, name)))
    if not rows.index.is_unique:
        twice = rows.index[rows.index.duplicated()][0]
        raise DataError(f"{where}: '{twice}' occurs more than once; one row a structure")
    known = set(names.values())
    left = {name for file in left_out for name in (file, Path(file).stem)}
    without = [name for name in rows.index if name not in known | left]
    if without:
        _warn(f"{where}: {len(without)} rows have no structure: {_listed(without)}")
    bare = sorted(known - set(rows.index))
    if bare:
        _warn(
            f"{where}: {len(bare)} structures have no row; their targets are unknown: "
            f"{_listed(bare)}"
        )
    computed = [str(name) for name in rows if str(name) in COMPUTED]
    if computed:
        _warn(
            f"{where}: columns that follow from the structures are ignored: {_listed(computed)}. "
            "Rename one that is a target"
        )
    targets, ignored = {}, []
    for name, column in rows.drop(columns=computed).items():
        text = column.map(lambda value: "" if pd.isna(value) else str(value).strip())
        text = text.replace(_TRUTH)
        numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
        faulty = (text != "") & ~np.isfinite(numbers)
        if faulty.sum() * 2 > (text != "").sum():
            ignored.append(str(name))
        elif faulty.any():
            row = faulty.idxmax()
            raise DataError(
                f"{where}: column '{name}', '{row}': '{text[row]}' is no number; write one, or "
                "leave it blank where nothing is known"
            )
        else:
            targets[str(name)] = numbers.astype(float)
    if ignored:
        _warn(f"{where}: columns without numbers are ignored: {_listed(ignored)}")
    return pd.DataFrame(targets, rows.index)


def _listed(names: list[str], separator: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _warn(message: str) -> None:
    warn(message, StructureWarning)
