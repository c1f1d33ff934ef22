"""`Atlas` on a circle, which no single chart covers."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from pyro_hea import Atlas, AtlasSpec
from pyro_hea.charts.toys import TOYS, toy
from pyro_hea.errors import DataError, NotFittedError, SpecError


def test_samples_cover_the_circle_and_lie_near_it(atlas, held_out):
    sample = atlas.sample(5000, seed=1)
    assert np.mean(np.abs(np.linalg.norm(sample, axis=1) - 1) < 0.06) >= 0.95
    true = held_out / np.linalg.norm(held_out, axis=1, keepdims=True)
    assert cKDTree(sample).query(true)[0].max() <= 0.1
    np.testing.assert_array_equal(atlas.sample(5000, seed=1), sample)
    assert not np.array_equal(atlas.sample(5000, seed=2), sample)


def test_projection_goes_to_the_manifold_and_stays(atlas, held_out):
    once = atlas.project(held_out)
    assert np.abs(np.linalg.norm(once, axis=1) - 1).max() < 0.06
    assert np.linalg.norm(held_out - once, axis=1).max() < 0.12
    np.testing.assert_allclose(atlas.project(once), once, atol=1e-9)


def test_encoder_undoes_decoder_to_double_precision(atlas):
    z = np.linspace(-0.9, 0.9, 50)[:, None]
    for chart in range(3):
        back = atlas.encode(atlas.decode(z, chart), chart)
        assert np.abs(back - z).max() <= 1e-9


def test_responsibilities_are_of_the_chart_whose_points_they_are(atlas, held_out):
    gamma = atlas.responsibilities(held_out)
    np.testing.assert_allclose(gamma.sum(1), 1)
    assert set(gamma.argmax(1)) == {0, 1, 2}
    for chart in range(3):  # the middle of a chart is its own, the far side is not
        middle = atlas.decode(np.zeros((1, 1)), chart)
        assert atlas.responsibilities(middle)[0].argmax() == chart
        assert atlas.responsibilities(-middle)[0, chart] < 0.01


def test_points_off_the_manifold_are_less_probable(atlas, held_out):
    on, off = atlas.log_prob(held_out), atlas.log_prob(1.3 * held_out)
    assert on.mean() > off.mean() + 20
    exact = -np.log(2 * np.pi) - np.log(0.02 * np.sqrt(2 * np.pi)) - 0.5
    assert on.mean() == pytest.approx(exact, abs=0.4)  # of points spread evenly, with their noise


def test_a_table_gives_tables_with_its_index_and_columns(spec, points):
    table = pd.DataFrame(points, columns=["x", "y"])
    quick = spec.with_(seeding={"steps": 0}, training={"epochs": 1}, overlap=None)
    atlas, named = (Atlas(quick).fit(of, seed=0, progress=False) for of in (points, table))
    some = table.iloc[5:9]
    turned = some[["y", "x"]]
    for got in (named.project(turned), named.log_prob(turned), named.encode(turned, 1)):
        assert got.index.equals(some.index)
    assert [*named.responsibilities(some).columns] == ["chart0", "chart1", "chart2"]
    np.testing.assert_array_equal(named.project(turned), atlas.project(points[5:9]))
    assert [*named.sample(3).columns] == ["x", "y"]
    with pytest.raises(DataError, match="columns x, z; this atlas is of x, y"):
        named.project(some.rename(columns={"y": "z"}))


def test_the_losses_of_all_phases_are_kept(atlas, spec):
    history = atlas.history
    assert history["phase"].value_counts().to_dict() == {"mixture": 12, "overlap": 4, "seeding": 1}
    mixture = history.query("phase == 'mixture'")["loss"]
    assert mixture.iloc[-1] < mixture.iloc[0]
    assert Atlas(spec).history.empty


def test_it_says_what_it_is(atlas, spec):
    assert repr(Atlas(spec)) == "Atlas(3 charts of 1 dimensions; not fitted)"
    assert repr(atlas) == "Atlas(3 charts of 1 dimensions, of 1500 points with 2 coordinates)"
    assert "<table" in atlas._repr_html_()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((2, 2)), "2 points are fewer than the 3 charts"),
        (np.zeros(5), r"points have shape (5,); they have to be (N, n)"),
        ([[0, 1], [np.nan, 1], [1, np.inf], [0, 0]], "2 of 4 points are not finite, the first in"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "hold what is no number in the column b"),
        ([[1, 2], [3]], "the points hold what is no number"),
        (np.ones((5, 2)) + 1j, "the points hold what is no number (they are complex)"),
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), "the points have a more than once"),
    ],
)
def test_points_that_nothing_can_be_learnt_from_are_named(spec, points, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Atlas(spec).fit(points, progress=False)


def test_a_manifold_of_more_dimensions_than_its_points_is_refused():
    with pytest.raises(DataError, match="dim 3 does not lie in points of 2 coordinates: lower dim"):
        Atlas(AtlasSpec(dim=3)).fit(np.eye(2).repeat(5, 0), progress=False)


def test_charts_with_a_support_learn_lines_along_the_axes():
    """Points on three axes, each chart with one of them."""
    rng = np.random.default_rng(0)
    axis, at = rng.integers(3, size=600), rng.uniform(1, 2, 600)
    points = np.eye(3)[axis] * at[:, None] + 0.01 * rng.normal(size=(600, 3))
    spec = AtlasSpec(
        charts=3,
        dim=1,
        noise=0.02,
        decoder={"couplings": 2, "hidden": [16]},
        seeding={"steps": 100},
        training={"epochs": 5},
        overlap=None,
    )
    rows = np.stack([np.flatnonzero(axis == k)[:50] for k in range(3)])
    atlas = Atlas(spec).fit(points, progress=False, supports=[[0, 1], [1, 2], [0, 2]], seeds=rows)
    np.testing.assert_array_equal(atlas.responsibilities(points).argmax(1), axis)
    off = np.delete(np.arange(3), 0)
    assert np.abs(atlas.project(points[axis == 0])[:, off]).max() < 0.05
    assert (atlas.project(points[axis == 0])[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"supports": [[0, 1]]},
            "supports have shape (1, 2); they have a row for each of 3 charts",
        ),
        ({"supports": [[0], [1], [2]]}, "supports are whole numbers from 0 to 1"),
        ({"seeds": [[0.5], [1.0], [2.0]]}, "seeds are whole numbers from 0 to 1499"),
    ],
)
def test_supports_and_seeds_that_are_none_are_named(spec, points, given, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Atlas(spec).fit(points, progress=False, **given)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda a: a.project(np.zeros((4, 3))), "shape (4, 3); this atlas takes (N, 2)"),
        (lambda a: a.project([[0, np.nan]]), "1 of 1 points are not finite, the first in row 1"),
        (lambda a: a.encode(np.zeros((1, 2)), 3), "no chart 3; this atlas has 0 to 2"),
        (lambda a: a.decode(np.zeros((1, 2)), 0), "shape (1, 2); this atlas takes (N, 1)"),
        (lambda a: a.decode([[np.inf]], 0), "1 of 1 coordinates are not finite"),
        (lambda a: a.sample(0), "n=0 is not allowed"),
        (lambda a: a.sample(2.5), "n=2.5 is not allowed; it is a whole number"),
        (lambda a: a.log_prob(np.zeros((1, 2)), draws=0), "draws=0 is not allowed"),
        (lambda a: a.encode(np.zeros((1, 2)), "b"), "no chart 'b'; this atlas has 0 to 2"),
        (lambda a: a.decode("here", 0), "the coordinates hold what is no number"),
        (lambda a: a.project(np.zeros((0, 2))), "there are no points; give at least one"),
    ],
)
def test_questions_that_have_no_answer_are_named(atlas, ask, message):
    with pytest.raises(DataError, match=re.escape(message)):
        ask(atlas)


def test_what_is_no_spec_is_named():
    with pytest.raises(SpecError, match=r"'ring' is no AtlasSpec; .*AtlasSpec.shipped\('ring'\)"):
        Atlas("ring")


def test_an_atlas_that_is_not_fitted_says_so(spec):
    with pytest.raises(NotFittedError, match="not fitted yet: call fit"):
        Atlas(spec).sample(1)


# The toys, whose answers are known.


@pytest.mark.parametrize("name", TOYS)
def test_points_of_a_toy_lie_on_it_and_noise_does_not(name):
    known = toy(name)
    assert known.distance(known.points(300, noisy=False)).max() < 0.01
    far = known.distance(known.points(300))
    assert 0 < np.mean(far) < 3 * known.noise
    assert AtlasSpec.shipped(name).dim < 3


@pytest.mark.parametrize("name", [name for name, t in TOYS.items() if t.objective])
def test_the_minimum_of_a_toy_is_the_least_of_many_points(name):
    import torch

    known = toy(name)
    values = known.objective(torch.tensor(known.points(200_000, noisy=False)))
    assert known.minimum <= float(values.min()) <= known.minimum + 0.01


def test_there_is_no_other_toy():
    with pytest.raises(DataError, match=r"no toy 'sphear'\. Did you mean 'sphere'"):
        toy("sphear")
