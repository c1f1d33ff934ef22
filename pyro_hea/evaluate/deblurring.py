"""Blurred images of bars, mended on the manifold of bars: with one chart and with two.

The experiment of Alberti et al. (arXiv:2303.15244, section 5), reduced to 32 × 32 pixels.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pyro_hea.charts import Atlas, misfit
from pyro_hea.errors import ChartWarning
from pyro_hea.evaluate.measures.intervals import paired_difference
from pyro_hea.spec import AtlasSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIDE = 32
"""Pixels of a side of an image."""

_WIDTH, _EDGE = 6.0, 0.5
"""Of a bar and of its border, in pixels."""

_BLUR, _REACH = 3.75, 10
"""Standard deviation and reach of the blur, in pixels: a fourth of the published ones."""

_NOISE = 0.1

IMAGES = 5000

_TESTED = 20
"""Images that are mended with each atlas, from the same start."""

_STEPS = 100

_SPEC = AtlasSpec(
    dim=1,
    noise=0.05,
    latent_flow=None,
    decoder={"couplings": 3, "hidden": [64]},
    seeding={"neighbours": 100, "steps": 200, "learning_rate": 1e-3},
    training={"epochs": 30, "batch_size": 256, "stretch_epochs": 6},
    overlap={"epochs": 8},
)


GAIN = "two beyond one (dB)"
"""Of the PSNR, paired by image."""


def bars(angle: Floats) -> Floats:
    """Images of a bar through the middle, at angles (N,) in radians, (N, pixels) from 0 to 1.

    Examples
    --------
    >>> lying, standing = bars(np.array([0.0, np.pi / 2])).reshape(2, SIDE, SIDE)
    >>> bool(np.allclose(lying, standing.T))
    True
    """
    at = np.arange(SIDE) - (SIDE - 1) / 2
    y, x = np.meshgrid(at, at, indexing="ij")
    turn = angle[:, None, None]
    away = np.abs(x * np.sin(turn) - y * np.cos(turn))
    return np.asarray(1 / (1 + np.exp((away - _WIDTH / 2) / _EDGE))).reshape(len(angle), -1)


def blur() -> Floats:
    """The blur of an image as a matrix, (pixels, pixels): a Gaussian in each direction."""
    radius = _REACH // 2
    line = gaussian_filter1d(np.eye(SIDE), _BLUR, axis=0, mode="constant", radius=radius)
    return np.kron(line, line)


def psnr(found: Floats, true: Floats) -> Floats:
    """Peak signal-to-noise ratio of images (N, pixels) from 0 to 1, in dB, (N,)."""
    return np.asarray(-10 * np.log10(np.square(found - true).mean(1)))


def measure_deblurring(seed: int) -> dict[str, Any]:
    """Train atlases of one chart and of two on the same images, and mend the same blurred ones."""
    rng = np.random.default_rng(seed)
    known = bars(rng.uniform(0, np.pi, IMAGES))
    true = bars(rng.uniform(0, np.pi, _TESTED))
    start = bars(rng.uniform(0, np.pi, _TESTED))
    operator = blur()
    data = true @ operator.T + _NOISE * rng.normal(size=true.shape)
    found: dict[str, Any] = {"seed": seed}
    ratios = {}
    for name, charts in (("one chart", 1), ("two charts", 2)):
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChartWarning)
            atlas = Atlas(_SPEC.with_(charts=charts)).fit(known, seed=seed, progress=False)
        mended = np.concatenate(
            [
                np.asarray(atlas.minimize(misfit(operator, b), x[None], _STEPS).points)
                for b, x in zip(data, start, strict=True)
            ]
        )
        ratios[name] = psnr(mended, true)
        found[f"{name}, PSNR (dB)"] = ratios[name].tolist()
        found[f"{name}, projected, PSNR (dB)"] = psnr(
            np.asarray(atlas.project(true)), true
        ).tolist()
        found[f"{name}, cpu_s"] = time.process_time() - began
    found[GAIN] = paired_difference(ratios["two charts"], ratios["one chart"])
    return found
