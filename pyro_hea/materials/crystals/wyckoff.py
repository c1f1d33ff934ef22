"""A crystal as its space group, free lattice parameters and orbits, to and from pymatgen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import PyroHEAError, StructureError
from pyro_hea.materials.crystals.cells import (
    Floats,
    cell_matrix,
    cell_parameters,
    distinct,
    full_lattice,
)
from pyro_hea.materials.crystals.elements import electronegativity_order
from pyro_hea.materials.crystals.recognition import recognise
from pyro_hea.materials.crystals.settings import Setting
from pyro_hea.materials.crystals.symmetry import SpaceGroup, space_group

if TYPE_CHECKING:
    from pymatgen.core import Structure

_DIGITS = 5  # of a coordinate, as in the packaged table
_LENGTH_DIGITS = 4  # of a length in Angstrom or an angle in degrees


@dataclass(frozen=True)
class Orbit:
    """Symmetrically equivalent atoms, through one of them.

    Attributes
    ----------
    element : str
    letter : str
        Of the Wyckoff position.
    point : tuple of float
        Fractional coordinates of one atom in the standard cell.
    """

    element: str
    letter: str
    point: tuple[float, float, float]

    def __str__(self) -> str:
        return f"{self.element}:{self.letter}:{','.join(_short(x, _DIGITS) for x in self.point)}"


@dataclass(frozen=True)
class WyckoffStructure:
    """A crystal without redundancy; its symmetry is exact.

    Attributes
    ----------
    number : int
        Space group, in the setting of `space_group`.
    lattice : tuple of float
        Free lattice parameters of the standard cell in Angstrom and degrees: a, b, c, α, β, γ for
        triclinic; a, b, c, β for monoclinic; a, b, c for orthorhombic; a, c for tetragonal,
        trigonal and hexagonal; a for cubic crystals.
    orbits : tuple of Orbit

    Examples
    --------
    >>> salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    >>> salt.formula, salt.atoms, salt.prototype
    ('NaCl', 2, '225:a|b')
    >>> round(salt.volume_per_atom, 2)
    22.43
    """

    number: int
    lattice: tuple[float, ...]
    orbits: tuple[Orbit, ...]

    @classmethod
    def from_text(cls, text: str) -> WyckoffStructure:
        """Read ``space group | lattice | orbits``, as `text` writes it.

        Raises
        ------
        StructureError
            If the text is malformed, or such a crystal cannot exist.
        """
        try:
            number, lattice, orbits = text.split("|")
            return cls._checked(
                int(number), tuple(float(x) for x in lattice.split()), _read_orbits(orbits)
            )
        except ValueError as error:
            if isinstance(error, PyroHEAError):
                raise
            raise StructureError(
                f"'{text}' is no crystal; write 'space group | lattice parameters | "
                "element:Wyckoff letter:x,y,z;…', as in '225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5'"
            ) from None

    @classmethod
    def _checked(
        cls, number: int, lattice: tuple[float, ...], orbits: tuple[Orbit, ...]
    ) -> WyckoffStructure:
        group = space_group(number)
        if len(lattice) != len(group.free_lattice) or min(lattice) <= 0:
            wanted = ", ".join(("a", "b", "c", "α", "β", "γ")[i] for i in group.free_lattice)
            raise StructureError(
                f"a {group.crystal_system} lattice has the positive parameters {wanted}, not "
                f"{' '.join(map(str, lattice))}"
            )
        for orbit in orbits:
            group.position(orbit.letter)
            electronegativity_order(orbit.element)
        return cls(number, lattice, orbits)

    @property
    def text(self) -> str:
        """``space group | lattice | orbits`` on one line, with four and five decimals."""
        lattice = " ".join(_short(x, _LENGTH_DIGITS) for x in self.lattice)
        return f"{self.number} | {lattice} | {';'.join(map(str, self.orbits))}"

    @property
    def group(self) -> SpaceGroup:
        """The space group."""
        return space_group(self.number)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Atoms of each element in the primitive cell, by electronegativity."""
        found: Counter[str] = Counter()
        for orbit in self.orbits:
            found[orbit.element] += self.group.multiplicity(orbit.letter)
        return {element: found[element] for element in sorted(found, key=electronegativity_order)}

    @property
    def atoms(self) -> int:
        """Atoms in the primitive cell."""
        return sum(self.counts.values())

    @property
    def formula(self) -> str:
        """Reduced formula, as pymatgen writes it."""
        return _reduced_formula(tuple(self.counts.items()))

    @property
    def cell_parameters(self) -> tuple[float, float, float, float, float, float]:
        """a, b, c in Angstrom and α, β, γ in degrees of the standard cell."""
        return full_lattice(self.group.crystal_system, self.lattice)

    @property
    def volume_per_atom(self) -> float:
        """Volume in cubic Angstrom, over the number of atoms."""
        atoms = self.atoms * len(self.group.centring)
        return abs(float(np.linalg.det(cell_matrix(self.cell_parameters)))) / atoms

    @property
    def prototype(self) -> str:
        """Space group and Wyckoff letters of each element, canonical; see `prototype_of`."""
        return prototype_of(self.group, self.letters)

    @property
    def letters(self) -> dict[str, str]:
        """Sorted Wyckoff letters of each element."""
        return {
            element: "".join(sorted(o.letter for o in self.orbits if o.element == element))
            for element in self.counts
        }

    def canonical(self) -> WyckoffStructure:
        """The same crystal in the setting in which its letters are those of its prototype.

        Of equivalent settings the one is taken in which the letters of the most electropositive
        element come first, and of the points of an orbit the one with the smallest parameters.
        """
        group = self.group
        words = self.letters.values()
        setting = min(
            (s for s in group.settings if not s.mirrored),
            key=lambda s: (_words(words, s), [s.renamed(word) for word in words]),
        )
        moved = []
        for orbit in self.orbits:
            letter = setting.letters[orbit.letter]
            point = setting.rotation @ np.array(orbit.point) + setting.translation
            choices = np.round(group.parameters(letter, point), _DIGITS) % 1
            best = choices[np.lexsort(choices.T[::-1])[0]] if choices.size else choices[0]
            at = group.position(letter).at(best) % 1
            moved.append(Orbit(orbit.element, letter, (float(at[0]), float(at[1]), float(at[2]))))
        full = cell_parameters(setting.lattice(cell_matrix(self.cell_parameters)))
        lattice = tuple(full[i] for i in group.free_lattice)
        return WyckoffStructure(self.number, lattice, tuple(sorted(moved, key=orbit_order)))

    def atoms_of_orbits(self, primitive: bool = True) -> tuple[Floats, list[Floats]]:
        """Basis vectors of a cell (rows, Å) and fractional coordinates of each orbit in it.

        Raises
        ------
        StructureError
            If an orbit does not lie on its Wyckoff position.
        """
        group, matrix = self.group, cell_matrix(self.cell_parameters)
        points = []
        for orbit in self.orbits:
            parameters = group.parameters(orbit.letter, np.array(orbit.point))[0]
            atoms = group.orbit(orbit.letter, parameters)
            if primitive and len(group.centring) > 1:
                atoms = _in_primitive_cell(atoms, group)
            points.append(atoms)
        return (group.primitive @ matrix if primitive else matrix), points

    def structure(self, primitive: bool = True) -> Structure:
        """The crystal as a pymatgen `Structure`, every atom of it.

        Parameters
        ----------
        primitive : bool
            A primitive cell, or else the standard (conventional) one.

        Raises
        ------
        StructureError
            If an orbit does not lie on its Wyckoff position.
        """
        from pymatgen.core import Lattice, Structure

        matrix, points = self.atoms_of_orbits(primitive)
        pairs = zip(self.orbits, points, strict=True)
        elements = [orbit.element for orbit, atoms in pairs for _ in atoms]
        return Structure(Lattice(matrix), elements, np.vstack(points))

    @classmethod
    def from_structure(cls, structure: Structure, symprec: float = 0.01) -> WyckoffStructure:
        """Find the symmetry of a structure with spglib, and idealise it.

        Parameters
        ----------
        structure : Structure
            Ordered; any cell.
        symprec : float
            How far atoms may be from symmetric places, in Angstrom.

        Returns
        -------
        WyckoffStructure
            In the canonical setting.

        Raises
        ------
        StructureError
            For partial occupancies, no element of the periodic table, more than 2000 atoms, or
            atoms on each other.
        """
        number, lattice, atoms = recognise(structure, symprec)
        orbits = tuple(Orbit(element, letter, point) for element, letter, point in atoms)
        return cls(number, lattice, orbits).canonical()


def prototype_of(group: SpaceGroup, letters: dict[str, str]) -> str:
    """Space group and Wyckoff letters of each element, elements anonymous and sorted.

    Of the equivalent descriptions (`SpaceGroup.settings`) the one whose letters come first in the
    alphabet. It does not say which element is where.
    """
    words = min(_words(letters.values(), setting) for setting in group.settings)
    return f"{group.number}:{'|'.join(_counted(word) for word in words.split('|'))}"


def _words(letters: Iterable[str], setting: Setting) -> str:
    """Letters of each element in another setting, sorted and joined."""
    return "|".join(sorted(setting.renamed(word) for word in letters))


def _counted(word: str) -> str:
    """Each letter once, with its number if there are several."""
    counts = Counter(word)
    return "".join(f"{x}{counts[x] if counts[x] > 1 else ''}" for x in sorted(counts))


def orbit_order(orbit: Orbit) -> tuple[int, str, tuple[float, ...]]:
    """By electronegativity, letter and coordinates."""
    return electronegativity_order(orbit.element), orbit.letter, orbit.point


def _in_primitive_cell(atoms: Floats, group: SpaceGroup) -> Floats:
    """The atoms of a standard cell as those of the primitive one, each once."""
    return distinct(atoms @ np.linalg.inv(group.primitive) % 1)


def _read_orbits(text: str) -> tuple[Orbit, ...]:
    orbits = []
    for part in text.split(";"):
        element, letter, point = part.strip().split(":")
        x, y, z = (float(value) for value in point.split(","))
        orbits.append(Orbit(element, letter, (x, y, z)))
    return tuple(orbits)


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


@cache
def _reduced_formula(counts: tuple[tuple[str, int], ...]) -> str:
    from pymatgen.core import Composition

    return str(Composition(dict(counts)).reduced_formula)
