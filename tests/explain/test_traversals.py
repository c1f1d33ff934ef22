import numpy as np
import pytest

from pyro_hea.errors import DataError, UnknownElementError
from pyro_hea.explain import path, traverse


def test_one_axis_moves_and_the_others_stay(vae, alloys):
    alloy = alloys.formulas[0]
    found = traverse(vae, alloy, "z1", member=2, positions=[-2, 0, 2])
    assert found.z["z1"].tolist() == [-2, 0, 2]
    np.testing.assert_allclose(found.z["z0"], vae.encode([alloy], 2)["z0"].iloc[0])
    assert found.fractions.index.tolist() == [-2, 0, 2]


def test_what_is_decoded_is_predicted_as_it_would_be_weighed_in(vae, alloys):
    found = traverse(vae, alloys.formulas[1], "z0", positions=[-1, 1])
    fractions = found.fractions
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    assert fractions.where(fractions > 0).min(axis=None) >= 0.01
    np.testing.assert_allclose((1000 * fractions) % 1 % 1, 0, atol=1e-9)
    predicted = vae.predict(found.predictions["formula"].tolist())["single_phase"]
    np.testing.assert_allclose(found.predictions["single_phase"], predicted, atol=1e-3)


def test_decoding_agrees_with_the_face(vae, alloys):
    alloy = alloys.formulas[0]
    found = traverse(vae, alloy, "z0", positions=[0.5])
    batch = vae.ensemble.batch([alloy])
    y = float(vae.ensemble.most_probable(batch)["single_phase"][0, 0])  # what encode takes
    raw = vae.decode(found.z, {"single_phase": y}).iloc[0]
    kept = raw.where(raw >= 0.01, 0)
    np.testing.assert_allclose(found.fractions.iloc[0], kept / kept.sum(), atol=1e-3)


def test_a_path_starts_and_ends_at_its_alloys(vae, alloys):
    start, end = alloys.formulas[:2]
    found = path(vae, start, end, steps=5)
    ends = vae.encode([start, end])
    np.testing.assert_allclose(found.z.iloc[[0, -1]], ends, atol=2e-3)
    np.testing.assert_allclose(found.z.iloc[2], ends.mean(), atol=2e-3)
    assert found.along == f"{start} → {end}"
    assert repr(found) == f"Traversal(5 alloys along {start} → {end})"


def test_an_alloy_outside_the_training_elements_has_no_latent(vae):
    with pytest.raises(UnknownElementError, match=r"holds Re, .* Its latent is not defined"):
        traverse(vae, "CoRe", "z0")


def test_an_axis_that_there_is_not_is_named(vae):
    with pytest.raises(DataError, match="no axis 'z7'; this model has z0, z1"):
        traverse(vae, "CoNi", "z7")
