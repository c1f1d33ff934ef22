"""Features of alloys, each with its name, unit, formula, sign convention and source.

Every formula reads `AlloyQuantities`.

Examples
--------
>>> import torch
>>> from pyro_hea.materials.alloys.element_tables import load_tables
>>> names = ("mixing_entropy", "number_of_elements")
>>> features = FeatureMap(names, load_tables("field"), ["Co", "Ni"])
>>> features(torch.tensor([[0.5, 0.5]], dtype=torch.float64)).tolist()
[[5.7628..., 2.0]]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.errors import SpecError, UnknownElementError, nearest
from pyro_hea.materials.alloys.alloy_quantities import (
    GAS_CONSTANT,
    AlloyQuantities,
    RelaxedAlloys,
)
from pyro_hea.materials.alloys.hard_spheres import hard_sphere_entropy

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.element_tables import PropertyTables

_LOG_OFFSET = 1.19e-7
"""Added inside the logarithm of the entropy by the published code."""

_SMALLEST_ENTHALPY = 0.1
"""kJ/mol; least |ΔHmix| in Ω, which would be infinite for an ideal solution."""

_SMALLEST_DIFFERENCE = 0.1
"""%; least atomic size difference in Λ, which would be infinite for atoms of one size."""

_SMALLEST_EXCESS = 0.01
"""J/(mol K); least excess entropy in φ, which would be infinite for atoms of one size."""

_PACKINGS = 0.68, 0.74
"""Packing fractions of bcc and fcc crystals."""

_INTERMETALLIC_ENTROPY = 0.6
"""Entropy of a compound as a share of that of the solid solution, κ2 of Senkov and Miracle."""


def _senkov_miracle_kappa(alloys: AlloyQuantities) -> Tensor:
    entropy = (1 - _INTERMETALLIC_ENTROPY) * alloys.entropy() / 1000
    attraction = (-alloys.mixing_enthalpy()).clamp_min(_SMALLEST_ENTHALPY)
    return 1 + alloys.mean("melting_temperature") * entropy / attraction


def _king_phi(alloys: AlloyQuantities) -> Tensor:
    gain = alloys.mean("melting_temperature") * alloys.entropy() / 1000 - alloys.mixing_enthalpy()
    pair = alloys.pair_extreme(1.0).maximum(-alloys.pair_extreme(-1.0))
    return gain / pair.clamp_min(_SMALLEST_ENTHALPY)


def _ye_phi(alloys: AlloyQuantities) -> Tensor:
    radii = alloys.property("atomic_radius")
    excess = [hard_sphere_entropy(alloys.c, radii, packing) for packing in _PACKINGS]
    size = -GAS_CONSTANT * torch.stack(excess).mean(0)
    enthalpy = 1000 * alloys.mixing_enthalpy().abs() / alloys.mean("melting_temperature")
    return (alloys.entropy() - enthalpy) / size.clamp_min(_SMALLEST_EXCESS)


def _singh_lambda(alloys: AlloyQuantities) -> Tensor:
    difference = 100 * alloys.spread("atomic_radius", relative=True)
    return alloys.entropy() / difference.clamp_min(_SMALLEST_DIFFERENCE).square()


def _wang_gamma(alloys: AlloyQuantities) -> Tensor:
    mean = alloys.mean("atomic_radius")
    small, large = (alloys.extreme("atomic_radius", sign) + mean for sign in (-1.0, 1.0))
    angles = [1 - (1 - (mean / reach).square()).sqrt() for reach in (small, large)]
    return angles[0] / angles[1]


@dataclass(frozen=True)
class Feature:
    """One feature of an alloy.

    Attributes
    ----------
    name, unit, formula, source : str
        The formula is in the notation of the field, with its sign convention.
    compute : callable
        From the alloys' quantities to values of shape (...,).
    """

    name: str
    unit: str
    formula: str
    source: str
    compute: Callable[[AlloyQuantities], Tensor]


_PROPERTIES = {
    "melting_temperature": ("K", "T"),
    "molar_volume": ("cm3/mol", "V"),
    "bulk_modulus": ("GPa", "K"),
    "atomic_radius": ("pm", "r"),
    "electronegativity": ("Pauling", "χ"),
    "valence_electron_concentration": ("electrons/atom", "VEC"),
}


def _catalogue() -> dict[str, Feature]:
    features = [
        Feature(
            "mixing_entropy",
            "J/(mol K)",
            "-R Σ c ln c, never negative",
            "ideal solution",
            lambda a: a.entropy(),
        ),
        Feature(
            "mixing_entropy_published",
            "J/(mol K)",
            "-R Σ c ln(c + 1.19e-7)",
            "arXiv:2409.06740",
            lambda a: a.entropy(_LOG_OFFSET),
        ),
        Feature(
            "mixing_enthalpy",
            "kJ/mol",
            "Σ_{i<j} 4 H_ij c_i c_j, negative where unlike atoms attract",
            "Takeuchi and Inoue, Mater. Trans. 46 (2005) 2817",
            AlloyQuantities.mixing_enthalpy,
        ),
        Feature(
            "atomic_size_difference",
            "%",
            "100 sqrt(Σ c (1 - r / r̄)²)",
            "Zhang et al., Adv. Eng. Mater. 10 (2008) 534",
            lambda a: 100 * a.spread("atomic_radius", relative=True),
        ),
        Feature(
            "electronegativity_difference",
            "Pauling",
            "sqrt(Σ c (χ - χ̄)²)",
            "Guo and Liu, Prog. Nat. Sci. 21 (2011) 433",
            lambda a: a.spread("electronegativity"),
        ),
        Feature(
            "omega",
            "1",
            "T̄ ΔS / |ΔH|, with |ΔH| ≥ 0.1 kJ/mol",
            "Yang and Zhang, Mater. Chem. Phys. 132 (2012) 233",
            lambda a: (
                a.mean("melting_temperature")
                * a.entropy()
                / (1000 * a.mixing_enthalpy().abs().clamp_min(_SMALLEST_ENTHALPY))
            ),
        ),
        Feature(
            "number_of_elements",
            "1",
            "number of elements with c > 0",
            "composition",
            lambda a: a.present.sum(-1).to(a.c.dtype),
        ),
        Feature("largest_fraction", "1", "max c", "composition", methodcaller("fraction", 0)),
        Feature(
            "pair_enthalpy_min",
            "kJ/mol",
            "min H_ij over the pairs present, 0 where there is none",
            "pair table",
            lambda a: a.pair_extreme(-1.0),
        ),
        Feature(
            "pair_enthalpy_max",
            "kJ/mol",
            "max H_ij over the pairs present, 0 where there is none",
            "pair table",
            lambda a: a.pair_extreme(1.0),
        ),
        Feature(
            "pair_enthalpy_spread",
            "kJ/mol",
            "standard deviation of H_ij, pairs weighted by c_i c_j",
            "pair table",
            AlloyQuantities.pair_spread,
        ),
    ]
    for rank, nth in enumerate(("second", "third", "fourth", "fifth"), start=1):
        name, formula = f"{nth}_largest_fraction", f"c of the {nth} largest, 0 where there is none"
        features.append(
            Feature(name, "1", formula, "composition", methodcaller("fraction", rank)),
        )
    for name, (unit, symbol) in _PROPERTIES.items():
        features += [
            Feature(name, unit, f"Σ c {symbol}", "element table", methodcaller("mean", name)),
            Feature(
                f"{name}_range",
                unit,
                f"max {symbol} - min {symbol} over the elements present",
                "element table",
                methodcaller("range", name),
            ),
        ]
        if name != "electronegativity":  # its spread is the electronegativity difference
            features.append(
                Feature(
                    f"{name}_spread",
                    unit,
                    f"sqrt(Σ c ({symbol} - mean)²)",
                    "element table",
                    methodcaller("spread", name),
                )
            )
    features += [
        Feature(
            "senkov_miracle_kappa",
            "1",
            "1 - (1 - 0.6) T̄ ΔS / ΔH, with ΔH ≤ -0.1 kJ/mol: a compound whose "
            "enthalpy of formation is more than so many times ΔH is stable at T̄",
            "Senkov and Miracle, J. Alloys Compd. 658 (2016) 603",
            _senkov_miracle_kappa,
        ),
        Feature(
            "king_phi",
            "1",
            "(T̄ ΔS - ΔH) / max |H_ij| over the pairs present, with max |H_ij| ≥ 0.1 kJ/mol",
            "King et al., Acta Mater. 104 (2016) 172",
            _king_phi,
        ),
        Feature(
            "ye_phi",
            "1",
            "(ΔS - |ΔH| / T̄) / |S_E|, with S_E the excess entropy of hard spheres, mean of "
            "packings 0.68 and 0.74, |S_E| ≥ 0.01 J/(mol K)",
            "Ye et al., Scr. Mater. 104 (2015) 53",
            _ye_phi,
        ),
        Feature(
            "singh_lambda",
            "J/(mol K)",
            "ΔS / δ² with the atomic size difference δ in %, δ ≥ 0.1",
            "Singh et al., Intermetallics 53 (2014) 112",
            _singh_lambda,
        ),
        Feature(
            "wang_gamma",
            "1",
            "ω_S / ω_L, ω = 1 - sqrt(1 - r̄² / (r + r̄)²) of the smallest and the largest atom",
            "Wang et al., Scr. Mater. 94 (2015) 28",
            _wang_gamma,
        ),
    ]
    return {feature.name: feature for feature in features}


FEATURES: dict[str, Feature] = _catalogue()
"""Every feature by name."""

PUBLISHED_FEATURES = (
    "bulk_modulus",
    "molar_volume",
    "melting_temperature",
    "valence_electron_concentration",
    "atomic_size_difference",
    "electronegativity_difference",
    "mixing_entropy_published",
    "mixing_enthalpy",
)
"""The eight features of arXiv:2409.06740, in its order."""

PHASE_PARAMETERS = (
    "senkov_miracle_kappa",
    "king_phi",
    "ye_phi",
    "singh_lambda",
    "wang_gamma",
)
"""Single numbers by which the field tells solid solutions from compounds."""

RICH_FEATURES = tuple(
    name for name in FEATURES if name not in ("mixing_entropy_published", *PHASE_PARAMETERS)
)
"""Seven of these with the field's entropy, and the other features of element and pair tables."""


class FeatureMap:
    """Map fractions to features, on the device and in the precision of the fractions.

    Parameters
    ----------
    names : sequence of str
        Names out of `FEATURES`; they order the columns.
    tables : PropertyTables
        Element properties and pair enthalpies.
    elements : sequence of str
        Elements of the columns of the fractions.

    Raises
    ------
    SpecError
        For a name that is no feature.
    UnknownElementError
        For an element without properties in the tables.
    """

    def __init__(
        self, names: Sequence[str], tables: PropertyTables, elements: Sequence[str]
    ) -> None:
        if not names:
            raise SpecError("features: name at least one feature")
        for name in names:
            if name not in FEATURES:
                raise SpecError(f"features: '{name}' is no feature.{nearest(name, FEATURES)}")
        for element in elements:
            if element not in tables.elements:
                raise UnknownElementError(
                    f"element '{element}' has no properties in the {tables.name} tables, which "
                    f"cover {', '.join(tables.elements)}"
                )
        self.names = tuple(names)
        self.elements = tuple(elements)
        rows = tables.properties.loc[list(elements)]
        self._properties = {p: torch.tensor(rows[p].to_numpy(float)) for p in _PROPERTIES}
        self._enthalpy = torch.tensor(
            tables.mixing_enthalpy.loc[list(elements), list(elements)].to_numpy(float)
        )

    def __repr__(self) -> str:
        return f"FeatureMap({len(self.names)} features of {len(self.elements)} elements)"

    def __call__(
        self, fractions: Tensor, *, max_elements: int | None = None, chunk: int = 16384
    ) -> Tensor:
        """Compute the features.

        Parameters
        ----------
        fractions : Tensor, shape (..., E)
            Each row sums to 1.
        max_elements : int, optional
            The most elements that any row holds, counted from the rows by default. In a row with
            more, the smallest fractions are ignored.
        chunk : int
            Rows computed at a time, which bounds the memory.

        Returns
        -------
        Tensor, shape (..., F)
            In the units of `FEATURES`.
        """
        dtype, device = fractions.dtype, fractions.device
        properties = {p: v.to(device, dtype) for p, v in self._properties.items()}
        enthalpy = self._enthalpy.to(device, dtype)
        rows = fractions.reshape(-1, fractions.shape[-1])
        if max_elements is None:
            max_elements = int((rows > 0).sum(-1).amax()) if len(rows) else 1
        k = min(max(max_elements, 1), rows.shape[-1])
        columns = []
        for part in rows.split(chunk):
            alloys = AlloyQuantities(part, properties, enthalpy, k)
            columns.append(torch.stack([FEATURES[n].compute(alloys) for n in self.names], -1))
        return torch.cat(columns).reshape(*fractions.shape[:-1], len(self.names))

    def relaxed(self, fractions: Tensor, presence: Tensor, *, max_elements: int = 10) -> Tensor:
        """Features of alloys whose elements are present to a degree; differentiable.

        Parameters
        ----------
        fractions : Tensor, shape (..., E)
            Each row sums to 1; an element of low presence should have a low fraction.
        presence : Tensor, shape (..., E)
            From 0 to 1. Where all are 0 or 1, the features are those of `__call__`.
        max_elements : int
            Elements counted in each row, those with the largest fractions.

        Returns
        -------
        Tensor, shape (..., F)
        """
        properties = {p: v.to(fractions) for p, v in self._properties.items()}
        k = min(max_elements, fractions.shape[-1])
        alloys = RelaxedAlloys(fractions, presence, properties, self._enthalpy.to(fractions), k)
        return torch.stack([FEATURES[n].compute(alloys) for n in self.names], -1)
