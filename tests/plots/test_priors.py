import pytest

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError
from pyro_hea.plots import prior, prior_panels

FORMULAS = ["CoCrFeMnNi", "AlNi", "MoNbTaW", "Fe"]


@pytest.fixture(scope="module")
def vae():
    return DisentangledVAE(ModelSpec.shipped("properties").with_(training__members=2))


def test_each_prior_has_a_panel_with_its_unit_and_support(vae):
    panels = prior_panels(vae.prior_table(FORMULAS), vae.prior_predictive(50, FORMULAS))
    labels = [panel.get_xlabel() for panel in panels]
    assert labels[:4] == [
        "single phase (class)",
        "phase (class)",
        "hardness (HV)",
        "yield strength (MPa)",
    ]
    assert [panel.get_title("left") for panel in panels][2] == "hardness: positive"
    assert "z" in labels[4]
    assert labels[5:] == ["elements of at least 1 at.% (number)", "element"]
    assert all(panel.get_ylabel() for panel in panels)


def test_a_spec_alone_is_enough(vae):
    panels = prior(vae.spec, FORMULAS, draws=50, seed=1)
    table, idata = vae.prior_table(FORMULAS, seed=1), vae.prior_predictive(50, FORMULAS, seed=1)
    same = prior_panels(table, idata)
    for one, other in zip(panels, same, strict=True):
        assert one.get_title("left") == other.get_title("left")
        assert [b.get_height() for b in one.patches] == [b.get_height() for b in other.patches]


def test_draws_stand_beside_what_is_declared(vae):
    phase = prior_panels(vae.prior_table(FORMULAS), vae.prior_predictive(400, FORMULAS))[1]
    (drawn,) = phase.get_lines()
    declared = [bar.get_height() for bar in phase.patches]
    assert declared == pytest.approx([0.25] * 4)
    assert drawn.get_ydata()[3] == pytest.approx(0.5, abs=0.08)  # several, where not one phase
    assert [tick.get_text() for tick in phase.get_xticklabels()] == ["fcc", "bcc", "hcp", "several"]


def test_another_table_is_refused(vae):
    with pytest.raises(DataError, match="no column"):
        prior_panels(vae.prior_table(FORMULAS).drop(columns="what"), vae.prior_predictive(2))
