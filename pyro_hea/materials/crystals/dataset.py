"""Crystals with their targets, and splits in which no chemical system is in two parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_hea.errors import DataError, nearest
from pyro_hea.materials.crystals.features import composition_features, crystal_features
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

if TYPE_CHECKING:
    from pymatgen.core import Structure

TARGET_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "acoustic_debye_temperature": "K",
        "debye_temperature": "K",
        "elastic_debye_temperature": "K",
        "gap": "eV",
        "metal": "",
        "hole_mass": "m_e",
        "electron_mass": "m_e",
        "bulk_modulus": "GPa",
        "shear_modulus": "GPa",
        "heat_capacity": "J/mol/K",
        "entropy": "J/mol/K",
        "maximum_frequency": "THz",
        "minimum_frequency": "THz",
        "soft_modes": "",
        "minimum_thermal_conductivity": "W/m/K",
        "electronic_permittivity": "",
        "static_permittivity": "",
        "seebeck_p": "µV/K",
        "seebeck_n": "µV/K",
        "formation_energy": "eV/atom",
    }
)
"""Unit of each packaged target; `metal` and `soft_modes` are 0 or 1. See the datasheet."""

COMPUTED = ("formula", "chemical_system", "space_group", "prototype", "atoms", "volume_per_atom")
"""Columns of `CrystalDataset.info`, which no target is called."""


class Structures(Sequence["Structure"]):
    """pymatgen structures (primitive cells), each made when it is asked for."""

    def __init__(self, crystals: Sequence[WyckoffStructure]) -> None:
        self._crystals = crystals

    def __len__(self) -> int:
        return len(self._crystals)

    @overload
    def __getitem__(self, index: int) -> Structure: ...
    @overload
    def __getitem__(self, index: slice) -> Structures: ...
    def __getitem__(self, index: int | slice) -> Structure | Structures:
        if isinstance(index, slice):
            return Structures(self._crystals[index])
        return self._crystals[index].structure()

    def __iter__(self) -> Iterator[Structure]:
        return (crystal.structure() for crystal in self._crystals)

    def __repr__(self) -> str:
        return f"Structures({len(self)} pymatgen structures, made when asked for)"


@dataclass(frozen=True, eq=False, repr=False)
class CrystalDataset:
    """Crystals, one a row.

    Attributes
    ----------
    text : Series, shape (N,)
        Each crystal as ``space group | lattice | orbits`` (see `WyckoffStructure`), by id.
    targets : DataFrame, shape (N, T)
        By id; NaN where nothing is known. Units of the packaged ones are in `TARGET_UNITS`.
    sources : DataFrame, shape (N, S)
        What else is known of the rows: where structure and moduli come from, of which earlier row
        each is a duplicate.
    left_out : Series
        Files that could not be read, and why.
    """

    text: pd.Series
    targets: pd.DataFrame
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out: pd.Series = field(default_factory=lambda: pd.Series(dtype=str, name="reason"))

    def __post_init__(self) -> None:
        if not self.text.index.is_unique:
            twice = self.text.index[self.text.index.duplicated()][0]
            raise DataError(f"the id '{twice}' occurs more than once; ids have to be distinct")
        if not self.text.index.equals(self.targets.index):
            raise DataError("structures and targets have to have the same ids in the same order")
        for name in self.targets:
            if name in COMPUTED:
                raise DataError(
                    f"no target can be called '{name}', which follows from the structures; "
                    "rename the column"
                )

    def __len__(self) -> int:
        return len(self.text)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {n}" for name, n in self.targets.count().items() if n)
        elements = {element for counts in self._counts for element in counts}
        left = f"; {len(self.left_out)} files left out" if len(self.left_out) else ""
        known = f"; {counts}" if counts else ""
        return f"CrystalDataset({len(self)} crystals of {len(elements)} elements{known}{left})"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.table.head(10).to_html()}"

    @property
    def ids(self) -> list[str]:
        """Id of each crystal."""
        return list(self.text.index)

    @cached_property
    def crystals(self) -> tuple[WyckoffStructure, ...]:
        """The crystals without redundancy."""
        return tuple(WyckoffStructure.from_text(text) for text in self.text)

    @property
    def structures(self) -> Structures:
        """Pymatgen structures, each made when it is asked for."""
        return Structures(self.crystals)

    @cached_property
    def _counts(self) -> list[dict[str, int]]:
        return [crystal.counts for crystal in self.crystals]

    @property
    def formulas(self) -> list[str]:
        """Reduced formula of each crystal."""
        return self.info["formula"].tolist()

    @cached_property
    def info(self) -> pd.DataFrame:
        """What follows from the structures, by id.

        `formula` (reduced), `chemical_system` (``Na-Cl``, by electronegativity), `space_group`,
        `prototype`, `atoms` (of the primitive cell), `volume_per_atom` (Å³).
        """
        crystals = self.crystals
        return pd.DataFrame(
            {
                "formula": [c.formula for c in crystals],
                "chemical_system": ["-".join(counts) for counts in self._counts],
                "space_group": [c.number for c in crystals],
                "prototype": [c.prototype for c in crystals],
                "atoms": [c.atoms for c in crystals],
                "volume_per_atom": [c.volume_per_atom for c in crystals],
            },
            self.text.index,
        )

    @cached_property
    def features(self) -> Mapping[str, pd.DataFrame]:
        """Features by id, of the `composition`, the `structure`, and `both` together.

        See `composition_features` and `crystal_features`. Some milliseconds a crystal.
        """
        structure, both = crystal_features(self.crystals)
        composition = composition_features(self._counts)
        tables = {"composition": composition, "structure": structure, "both": both}
        return {name: table.set_index(self.text.index) for name, table in tables.items()}

    @property
    def table(self) -> pd.DataFrame:
        """`info` and the targets side by side."""
        return self.info.join(self.targets)

    def take(self, rows: Any) -> Self:
        """Some of the crystals; also written ``crystals["mp-149"]``.

        Parameters
        ----------
        rows : id, position, or several: ids, positions, a boolean mask, a slice

        Raises
        ------
        DataError
            For an id that is not here, or a mask of another length.
        IndexError
            For a position that is not here.
        """
        rows = self._rows(rows)
        sources = self.sources.iloc[rows] if len(self.sources) else self.sources
        taken = type(self)(self.text.iloc[rows], self.targets.iloc[rows], sources)
        positions = pd.Series(range(len(self))).iloc[rows]
        if "crystals" in self.__dict__:  # what was made already is not made again
            taken.__dict__["crystals"] = tuple(self.crystals[i] for i in positions)
        if "info" in self.__dict__:
            taken.__dict__["info"] = self.info.iloc[rows]
        if "features" in self.__dict__:
            taken.__dict__["features"] = {k: table.iloc[rows] for k, table in self.features.items()}
        return taken

    def __getitem__(self, rows: Any) -> Self:
        return self.take(rows)

    def _rows(self, rows: Any) -> Any:
        """Positions, a slice or a mask."""
        if isinstance(rows, slice):
            return rows
        is_mask = isinstance(rows, pd.Series) and rows.dtype == bool
        if is_mask and not rows.index.equals(self.text.index):
            raise DataError("the mask is of other crystals; its index has to be the ids")
        wanted = np.atleast_1d(np.asarray(rows))
        if wanted.dtype == bool and wanted.shape != (len(self),):
            raise DataError(f"the mask has shape {wanted.shape} for {len(self)} crystals")
        if wanted.dtype.kind not in "UO" or not wanted.size:
            return wanted if wanted.size else []
        found = self.text.index.get_indexer(pd.Index(wanted))
        if (found < 0).any():
            missing = wanted[found < 0][0]
            raise DataError(
                f"there is no crystal '{missing}'.{nearest(str(missing), self.ids)} Ids are as "
                f"'{self.ids[0]}'"
                if len(self)
                else f"there is no crystal '{missing}': the dataset is empty"
            )
        return found

    def __add__(self, other: CrystalDataset) -> CrystalDataset:
        """Join two datasets. A target of both is in the same unit; a crystal of both has two rows.

        Raises
        ------
        DataError
            For an id in both.

        Examples
        --------
        >>> text = pd.Series({"salt": "225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5"})
        >>> mine = CrystalDataset(text, pd.DataFrame({"hardness": [2.5]}, index=["salt"]))
        >>> known = CrystalDataset(text.rename({"salt": "mp-1"}), pd.DataFrame(index=["mp-1"]))
        >>> known + mine
        CrystalDataset(2 crystals of 2 elements; hardness: 1)
        """
        both = self.text.index.intersection(other.text.index)
        if len(both):
            raise DataError(
                f"the id '{both[0]}' is in both datasets; rename one, as the file it was read from"
            )
        parts = (self, other)
        return CrystalDataset(
            pd.concat([part.text for part in parts]),
            pd.concat([part.targets for part in parts]),
            pd.concat([part.sources.reindex(part.text.index) for part in parts]),
            pd.concat([part.left_out for part in parts]),
        )

    def of_size(self, atoms: int) -> Self:
        """The crystals with at most so many atoms in the primitive cell."""
        return self.take((self.info["atoms"] <= atoms).to_numpy())

    def without_duplicates(self) -> Self:
        """The crystals that equal no earlier row."""
        if "duplicate_of" not in self.sources:
            return self
        return self.take(self.sources["duplicate_of"].isna().to_numpy())

    def without_labels(self) -> Self:
        """The same crystals, nothing known of their targets."""
        return self.with_targets(self.targets.mask(self.targets.notna()))

    def with_targets(self, targets: pd.DataFrame) -> Self:
        """The same crystals with other targets, by id."""
        other = type(self)(self.text, targets, self.sources)
        made = {"crystals", "info", "features"} & self.__dict__.keys()
        other.__dict__.update({name: self.__dict__[name] for name in made})
        return other

    def split_by_chemical_system(
        self, folds: int = 5, seed: int = 0
    ) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows to train and to test on, for each fold; no chemical system is in both.

        Chemical systems are shuffled and dealt out so that the folds are of equal size as far as
        whole systems allow.

        Parameters
        ----------
        folds : int
            At least 2, at most the number of chemical systems.
        seed : int

        Returns
        -------
        list of (train, test)
            Positions of rows, ascending.
        """
        systems, counts = np.unique(self.info["chemical_system"], return_counts=True)
        if not 2 <= folds <= len(systems):
            raise DataError(
                f"{folds} folds of {len(systems)} chemical systems; at least 2 folds, and no more "
                "than chemical systems"
            )
        order = np.random.default_rng(seed).permutation(len(systems))
        sizes = np.zeros(folds, int)
        fold_of = {}
        for system in order:
            smallest = int(sizes.argmin())
            sizes[smallest] += counts[system]
            fold_of[systems[system]] = smallest
        fold = self.info["chemical_system"].map(fold_of).to_numpy()
        return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]

    def train_test_split(self, test_size: float = 0.2, seed: int = 0) -> tuple[Self, Self]:
        """Split by chemical system into crystals to train on and crystals to test on.

        Parameters
        ----------
        test_size : float
            Share of the crystals to test on, met as well as the last chemical system allows.
        seed : int

        Returns
        -------
        train, test : CrystalDataset
            In the order of this one.

        Raises
        ------
        DataError
            For a share that leaves one of them empty.
        """
        systems, member = np.unique(self.info["chemical_system"], return_inverse=True)
        if not 0 < test_size < 1 or len(systems) < 2:
            raise DataError(
                f"test_size is {test_size}: of {len(systems)} chemical systems it leaves one part "
                "empty; choose a share between 0 and 1"
            )
        order = np.random.default_rng(seed).permutation(len(systems))
        reached = np.bincount(member)[order].cumsum()
        last = int(np.abs(reached - test_size * len(self))[:-1].argmin())
        held = np.isin(member, order[: last + 1])
        return self.take(~held), self.take(held)

    @cached_property
    def polymorphs(self) -> pd.DataFrame:
        """Pairs of rows of one formula with different prototypes: positions `first` and `second`.

        Every unordered pair once.
        """
        pairs = [
            (formula, int(i), int(j))
            for formula, rows in self.info.reset_index().groupby("formula").groups.items()
            for a, i in enumerate(rows)
            for j in rows[a + 1 :]
            if self.info["prototype"].iloc[i] != self.info["prototype"].iloc[j]
        ]
        return pd.DataFrame(pairs, columns=["formula", "first", "second"])
