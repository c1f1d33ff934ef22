import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_hea.errors import DataError
from pyro_hea.plots import latent_map


@pytest.fixture
def latent(rng):
    z = rng.normal(size=(60, 8)) * np.linspace(3, 0.2, 8)
    table = pd.DataFrame(z, columns=[f"z{i}" for i in range(8)])
    table["single_phase"] = np.tile([0.0, 1.0, np.nan], 20)
    table["number_of_elements"] = np.arange(60) % 5 + 2
    table["hardness"] = z[:, 0] * 100 + 400
    table["structure"] = np.tile(["FCC", "BCC", None], 20)
    return table


def groups(ax):
    return {c.get_label(): c.get_offsets().data for c in ax.collections}


def test_the_axes_are_the_principal_components(latent):
    ax = latent_map(latent, "hardness")
    (points,) = groups(ax).values()
    z = latent.filter(regex=r"^z\d$").to_numpy()
    values, vectors = np.linalg.eigh(np.cov(z.T))
    expected = (z - z.mean(0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    assert f"{values[-1] / values.sum():.0%}".rstrip("%") + " % of variance" in ax.get_xlabel()
    assert "second principal component" in ax.get_ylabel()


def test_the_signs_do_not_depend_on_the_order_of_the_alloys(latent):
    (forth,) = groups(latent_map(latent, "hardness")).values()
    (back,) = groups(latent_map(latent[::-1], "hardness")).values()
    np.testing.assert_allclose(forth, back[::-1], atol=1e-9)


def test_a_binary_target_has_two_markers_and_unlabelled_alloys_are_told_apart(latent):
    ax = latent_map(latent, "single_phase")
    assert {name: len(points) for name, points in groups(ax).items()} == {
        "unlabelled (20)": 20,
        "single phase = 0 (20)": 20,
        "single phase = 1 (20)": 20,
    }
    _, zero, one = ax.collections
    assert len(zero.get_facecolor()) == 0  # hollow against filled
    assert len(one.get_facecolor()) == 1
    assert not np.array_equal(zero.get_paths()[0].vertices, one.get_paths()[0].vertices)


def test_classes_have_a_marker_each(latent):
    assert list(groups(latent_map(latent, "structure"))) == [
        "unlabelled (20)",
        "BCC (20)",
        "FCC (20)",
    ]


def test_counts_have_a_scale_of_steps(latent):
    ax = latent_map(latent, "number_of_elements")
    _, bar = ax.figure.axes
    assert bar.get_yticks().tolist() == [2, 3, 4, 5, 6]
    assert bar.get_ylabel() == "number of elements"
    lightness = ax.collections[0].cmap(np.arange(5))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0.08).all()  # so they are in grey


@pytest.mark.parametrize("rows", [1, 2, 60])
@pytest.mark.parametrize("dimensions", [1, 2, 8])
def test_few_alloys_or_dimensions_are_no_trouble(latent, rows, dimensions):
    columns = [f"z{i}" for i in range(dimensions)]
    ax = latent_map(
        latent[[*columns, "single_phase"]].head(rows), "single_phase", Figure().subplots()
    )
    assert sum(map(len, groups(ax).values())) == rows
    assert "nan" not in ax.get_xlabel() + ax.get_ylabel()


def test_what_is_missing_is_named(latent):
    with pytest.raises(DataError, match=r"no column 'hardnes', only.*mean 'hardness'"):
        latent_map(latent, "hardnes")
    with pytest.raises(DataError, match="no latent columns"):
        latent_map(latent[["hardness"]], "hardness")
