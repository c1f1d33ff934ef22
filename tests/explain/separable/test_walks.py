"""Interpolations, draws, and what decoding keeps."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_hea.errors import DataError
from pyro_hea.explain.separable.walks import Walks


def test_smoothness_is_the_distance_of_the_ends_over_the_way():
    straight = [[1.0, 0, 0], [0.5, 0.5, 0], [0.0, 1, 0]]
    detour = [[1.0, 0, 0], [0.0, 0, 1], [0.0, 1, 0]]
    still = [[1.0, 0, 0]] * 3
    codes = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]])
    walks = Walks(np.array([straight, detour, still]), codes)
    np.testing.assert_allclose(walks.smoothness, [1, 0.5, 1])
    np.testing.assert_allclose(walks.keeps, [1, 0, np.nan])
    nowhere = Walks(np.array([straight]), np.array([[-1, 0, -1]]))
    assert np.isnan(nowhere.keeps).all()


def test_an_interpolation_goes_from_one_reconstruction_to_the_other(holds_al, new, rebuilt):
    a, b = new.index[:2]
    found = holds_al.interpolate(a, b, steps=5)
    assert found.fractions.index.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(found.fractions.iloc[[0, -1]], rebuilt([a, b]), atol=1e-4)
    u = holds_al.encode([a, b]).to_numpy()
    np.testing.assert_allclose(found.z.iloc[1], 0.75 * u[0] + 0.25 * u[1], atol=1e-5)
    assert list(found.clusters) == [
        "holds Al" if x >= 0.01 else "no Al" for x in found.fractions["Al"]
    ]
    x = found.fractions.to_numpy()
    way = np.abs(np.diff(x, axis=0)).sum()
    assert found.smoothness == pytest.approx(np.abs(x[-1] - x[0]).sum() / way)
    assert 0 < found.plain_smoothness <= 1
    assert repr(found).startswith(f"Interpolation(5 alloys along {a} → {b}: smoothness 0.")
    with pytest.raises(DataError, match="steps=2 is not allowed; both ends and one between"):
        holds_al.interpolate(a, b, steps=2)


def test_the_plain_walk_does_not_pass_t(holds_al, encoded):
    pairs = encoded.take(np.arange(10)), encoded.take(np.arange(10, 20))
    plain = holds_al.walk(*pairs, 3, plain=True)
    middle = (pairs[0].w + pairs[1].w) / 2
    y = {n: pairs[1].y[n] for n in pairs[0].y}  # the middle has the class of the far end
    expected = holds_al.latent.table(holds_al.latent.decode(middle, y)).to_numpy()
    np.testing.assert_allclose(plain.fractions[:, 1], expected, atol=1e-6)
    assert not np.allclose(holds_al.walk(*pairs, 3).fractions[:, 1], expected, atol=1e-3)


def test_what_decoding_keeps_is_counted_by_cluster(holds_al, encoded, new):
    held = (new["Al"] >= 0.01).to_numpy()
    made = holds_al.latent.table(holds_al.latent.decode(encoded.w, encoded.y))
    same = (made["Al"] >= 0.01).to_numpy() == held
    kept = holds_al.invertibility(new)
    assert kept.index.tolist() == ["no Al", "holds Al", "all"]
    assert kept["all"] == pytest.approx(same.mean(), abs=0.02)
    assert kept["holds Al"] == pytest.approx(same[held].mean(), abs=0.02)


def test_draws_of_a_cluster_are_around_its_mean(holds_al):
    made = holds_al.draw("holds Al", 300, seed=1)
    assert made.shape == (300, 14)
    np.testing.assert_allclose(made.sum(axis=1), 1)
    other = holds_al.draw("no Al", 300, seed=1)
    assert (made["Al"] >= 0.01).mean() > (other["Al"] >= 0.01).mean()
    # at the mean itself there is one alloy for each class of the target
    assert len(holds_al.draw("holds Al", 50, spread=1e-9).round(3).drop_duplicates()) == 2


def test_decoding_asks_for_every_target_and_the_right_width(holds_al):
    with pytest.raises(DataError, match=r"needs a value of each target; missing: \['single_phase'"):
        holds_al.decode([[0.0, 0.0]], {})
    with pytest.raises(DataError, match="u has 3 coordinates; this latent has 2"):
        holds_al.decode([[0.0, 0.0, 0.0]], {"single_phase": 1})


def test_figures_are_drawn(holds_al, new):
    new = new[:10]
    before, after = holds_al.plot(new)
    assert [ax.get_title(loc="left") for ax in (before, after)] == ["before", "after T"]
    labels = [text.get_text() for text in after.get_legend().get_texts()]
    counts = (new["Al"] >= 0.01).value_counts()
    assert labels == [f"holds Al ({counts[True]})", f"no Al ({counts[False]})"]
    way = holds_al.interpolate(*new.index[:2], steps=4)
    drawn = way.plot(Figure().subplots())
    assert [t.get_text() for t in drawn.get_yticklabels()] == [
        f"{cluster}, {position:.1f}" for position, cluster in way.clusters.items()
    ]


def test_straightened_lines_are_smoother(holds_al, encoded):
    crooked = {"bending": 0.0, "straightening": 0.0}
    free = holds_al.by("holds Al", spec=holds_al.spec.model_copy(update=crooked))
    ends = encoded.take(np.arange(50)), encoded.take(np.arange(50, 100))
    gained = holds_al.walk(*ends).smoothness - free.walk(*ends).smoothness
    assert gained.mean() > 3 * gained.std() / 50**0.5
