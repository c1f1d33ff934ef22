"""Named groups of elements, which constraints take beside element symbols.

Examples
--------
>>> expand(["noble", "Cu"])[-2:]
('Pt', 'Cu')
"""

from __future__ import annotations

from collections.abc import Iterable

GROUPS: dict[str, tuple[str, ...]] = {
    "refractory": ("Ti", "V", "Cr", "Zr", "Nb", "Mo", "Hf", "Ta", "W"),
    "noble": ("Ag", "Au", "Ir", "Os", "Pd", "Rh", "Ru", "Pt"),
    "3d": ("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"),
}
"""Elements by group; refractory as in Senkov et al., J. Mater. Res. 33 (2018) 3092."""


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Element symbols of names that are symbols or groups, without repeats."""
    return tuple(dict.fromkeys(e for name in names for e in GROUPS.get(name, (name,))))
