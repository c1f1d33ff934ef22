"""The declaration of an atlas."""

import pytest

from pyro_hea.errors import SpecError
from pyro_hea.spec import AtlasSpec

PUBLISHED = {  # charts, dim, noise of Alberti et al., arXiv:2303.15244
    "ring": (2, 2, 0.01),
    "circles": (4, 1, 0.01),
    "sphere": (2, 2, 0.01),
    "torus": (6, 2, 0.05),
    "swiss_roll": (4, 2, 0.2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_specs_have_the_published_charts(name, tmp_path):
    spec = AtlasSpec.shipped(name)
    assert (spec.charts, spec.dim, spec.noise) == PUBLISHED[name]
    assert spec.decoder.couplings == 5
    assert spec.decoder.largest_log_scale == 1.4
    assert (spec.density.inner, spec.density.edge, spec.density.decay) == (0.8, 0.05, 100)
    spec.to_yaml(tmp_path / "atlas.yaml")
    assert AtlasSpec.from_yaml(tmp_path / "atlas.yaml") == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"charts": 0}, "charts"),
        ({"noise": -1}, "noise"),
        ({"density": {"inner": 1.0}}, "density.inner"),
        ({"overlap": {"stretch": 1.0}}, "overlap.stretch"),
        ({"chart": 2}, "chart"),
    ],
)
def test_what_is_no_atlas_is_named(changes, message):
    with pytest.raises(SpecError, match=message):
        AtlasSpec.from_mapping(changes)


def test_there_is_no_other_shipped_spec():
    with pytest.raises(SpecError, match="sphere"):
        AtlasSpec.shipped("spere")
