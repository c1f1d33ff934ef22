"""What is measured of atlases: topology of point sets that are known, and the protocol."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from pyro_hea import AtlasSpec, ModelSpec
from pyro_hea.charts.toys import TOYS, toy
from pyro_hea.errors import MissingExtraError
from pyro_hea.evaluate import Runner, benchmark, charts, deblurring


@pytest.mark.parametrize("name", [name for name in TOYS if name != "swiss_roll"])
def test_points_of_a_toy_have_its_betti_numbers(name):
    pytest.importorskip("gudhi")
    known = toy(name)
    assert charts.betti_numbers(known.points(2000), charts.PERSISTENCE) == known.betti


def test_a_gap_and_a_hole_change_the_betti_numbers():
    pytest.importorskip("gudhi")
    circles = toy("circles").points(2000, noisy=False)
    cut = circles[(circles[:, 1] < 0) | (circles[:, 0] > 0)]  # the left one has a gap
    assert charts.betti_numbers(cut, charts.PERSISTENCE) == (2, 1)
    sphere = toy("sphere").points(2000, noisy=False)
    assert charts.betti_numbers(sphere[sphere[:, 2] < 0], charts.PERSISTENCE) == (1, 0, 0)


def test_topology_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(MissingExtraError, match="topology"):
        charts.betti_numbers(np.eye(3), 0.1)


def test_arcs_share_out_all_points_evenly():
    share = charts._in_arcs(toy("circles").points(40_000, noisy=False), np.ones(40_000))
    np.testing.assert_allclose(share, 1 / len(share), atol=0.006)


class Drawn:
    """Stands for an atlas whose draws are given, (N, 2)."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points

    def posterior(self, *_, draws: int, chains: int, **__) -> SimpleNamespace:
        x = self.points.reshape(chains, draws, 2)
        return SimpleNamespace(posterior={"x": xr.DataArray(x, dims=("chain", "draw", "feature"))})


def test_draws_of_the_exact_posterior_differ_by_no_more_than_their_errors():
    """Also where one draw falls into an arc in which eight are to be expected."""
    rng = np.random.default_rng(0)
    points = toy("circles").points(400_000, noisy=False)
    miss = (points @ charts.OPERATOR.T - charts.DATA)[:, 0] / charts.NOISE
    weight = np.exp(-(miss**2) / 2)
    drawn = points[rng.choice(len(points), 500 * charts.CHAINS, p=weight / weight.sum())]
    assert charts.posterior_of_circles(Drawn(drawn), 0, "even")["in standard errors"] < 3.5
    left = drawn[:, 0] < 0
    rare = np.flatnonzero(left & (drawn[:, 1] < 0) & (drawn[:, 0] > -1.5 + np.sqrt(0.5)))
    assert 3 < len(rare) < 14
    drawn[rare[1:]] = [-0.5, 0.0]
    assert 2 < charts.posterior_of_circles(Drawn(drawn), 0, "even")["in standard errors"] < 3.5
    drawn[::50] = [2.5, 0.0]
    assert charts.posterior_of_circles(Drawn(drawn), 0, "even")["in standard errors"] > 3.5


def test_a_blur_spreads_a_point_and_keeps_its_light():
    point = np.zeros((1, deblurring.SIDE, deblurring.SIDE))
    point[0, 16, 10] = 1.0
    spread = (point.reshape(1, -1) @ deblurring.blur().T).reshape(deblurring.SIDE, -1)
    assert spread.sum() == pytest.approx(1)
    assert np.unravel_index(spread.argmax(), spread.shape) == (16, 10)
    across, along = np.flatnonzero(spread.sum(1)), np.flatnonzero(spread.sum(0))
    assert (across[0], across[-1], along[0], along[-1]) == (11, 21, 5, 15)


def test_the_signal_to_noise_ratio_of_known_noise():
    images = deblurring.bars(np.linspace(0, np.pi, 50))
    noisy = images + 0.1 * np.random.default_rng(0).normal(size=images.shape)
    np.testing.assert_allclose(deblurring.psnr(noisy, images), 20, atol=1)


@pytest.mark.slow
def test_the_protocol_measures_each_toy_once_a_seed_and_alloys(tmp_path, monkeypatch):
    pytest.importorskip("gudhi")
    shipped = AtlasSpec.shipped
    quick = {"training": {"epochs": 2}, "overlap": {"epochs": 1}, "decoder": {"hidden": [8]}}
    monkeypatch.setattr(AtlasSpec, "shipped", lambda name: shipped(name).with_(**quick))
    monkeypatch.setattr(charts, "STEPS", dict.fromkeys(charts.STARTS, 3))
    monkeypatch.setattr(charts, "_DESIGNS", 2)
    monkeypatch.setattr(charts, "SAMPLES", {})
    monkeypatch.setattr(charts, "CHAINS", 2)
    monkeypatch.setattr(deblurring, "_SPEC", deblurring._SPEC.with_(**quick, seeding__steps=0))
    monkeypatch.setattr(deblurring, "IMAGES", 300)
    monkeypatch.setattr(deblurring, "_TESTED", 3)
    monkeypatch.setattr(deblurring, "_STEPS", 3)
    protocol = sys.modules[benchmark.charts.__module__]
    monkeypatch.setattr(protocol, "GRID", ((4, 3),))
    spec = ModelSpec(training={"epochs": 2, "distillation": None})
    result = benchmark.charts(Runner(spec, tmp_path / "cache", progress=False), 1)
    assert sorted(run["toy"] for run in result.content["runs"]) == sorted(TOYS)
    table = result.tables["Atlases"]
    assert (table["E(D(z)) - z"] <= 1e-5).all()
    assert (table["projected twice"] <= 1e-9).all()
    assert (table["enumerated bound"] >= table["published objective"]).all()
    assert (table["rose"].dropna() == 0).all()
    assert [*result.tables["One chart; no overlap phase"]["toy"]] == ["circles", "sphere", "torus"]
    assert [*result.tables["Posterior on the circles"]["prior"]] == ["even", "learnt"]
    assert len(result.content["deblurring"][0]["two charts, PSNR (dB)"]) == 3
    (alloys,) = result.content["alloys"]
    assert alloys["descent"]["violations"] == 0
    assert 0 < alloys["right elements"] <= 1
    result.write(tmp_path)
    assert (tmp_path / "charts.png").is_file()


@pytest.mark.slow
def test_an_atlas_of_the_circles_has_their_topology_minimum_and_posterior():
    pytest.importorskip("gudhi")
    found = charts.measure_toy("circles", 0)
    assert found["betti right"]
    assert found["within 3 sigma"] >= 0.95
    assert found["covered"] >= 0.99
    assert found["arrived"] == 4
    assert found["rose"] == 0
    assert found["posterior, learnt prior"]["largest difference"] < 0.03
    assert found["posterior, even prior"]["largest difference"] < 0.02
