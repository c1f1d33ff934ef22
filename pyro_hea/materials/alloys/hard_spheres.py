"""Entropy of mixing hard spheres of several sizes, beyond that of an ideal solution."""

from __future__ import annotations

from torch import Tensor


def hard_sphere_entropy(fractions: Tensor, radii: Tensor, packing: float) -> Tensor:
    """Excess entropy of mixing at a packing fraction, in units of the gas constant, at most 0.

    The equation of state of Mansoori, Carnahan, Starling and Leland, J. Chem. Phys. 54 (1971)
    1523; spheres of one size have 0.

    Parameters
    ----------
    fractions : Tensor, shape (..., k)
        Each row sums to 1.
    radii : Tensor, shape (..., k)
        In any unit.
    packing : float
        Share of the volume inside spheres, below 1: 0.68 in a bcc crystal, 0.74 in an fcc one.

    Returns
    -------
    Tensor, shape (...,)

    Examples
    --------
    >>> import torch
    >>> half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> hard_sphere_entropy(half, torch.tensor([1.0, 1.0]).double(), 0.68).abs() < 1e-12
    tensor(True)
    >>> hard_sphere_entropy(half, torch.tensor([1.0, 1.1]).double(), 0.68).round(decimals=4)
    tensor(-0.0602, dtype=torch.float64)
    """
    mean = [(fractions * radii**power).sum(-1) for power in (1, 2, 3)]
    # y1 and y2 of the paper, whose sums over pairs are products of moments of the radii.
    y1 = 1 - mean[0] * mean[1] / mean[2]
    y3 = mean[1] ** 3 / mean[2] ** 2
    y2 = mean[0] * mean[1] / mean[2] - y3
    free = 1 - packing
    ideal = (1 + packing + packing**2 - packing**3) / free**3
    compressibility = (
        1 + packing + packing**2 - 3 * packing * (y1 + y2 * packing) - packing**3 * y3
    ) / free**3
    energy = (
        -1.5 * (1 - y1 + y2 + y3)
        + (3 * y2 + 2 * y3) / free
        + 1.5 * (1 - y1 - y2 - y3 / 3) / free**2
        + (y3 - 1) * compressibility.new_tensor(free).log()
    )
    pressure = (compressibility / ideal).log()
    return energy - pressure - (3 - 2 * packing) / free**2 + 3
