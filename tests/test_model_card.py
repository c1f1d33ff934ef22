"""A card is written from the model, beside every saved one, and survives a round trip."""

from pyro_hea import DisentangledVAE
from pyro_hea.model_card import CARD, spec_differences


def test_it_tells_data_spec_training_calibration_and_limits(vae_of_kinds, alloys_of_kinds):
    card = vae_of_kinds.card()
    for heading in (
        "# Model card",
        "## Data",
        "## Spec",
        "## Training and calibration",
        "## Limits",
    ):
        assert f"\n{heading}" in f"\n{card}"
    labels = alloys_of_kinds.labels
    assert f"{len(alloys_of_kinds)} alloys of {len(alloys_of_kinds.elements)} elements" in card
    ones = int((labels["single_phase"] == 1).sum())
    assert "`single_phase` (binary): 60 labels from 60 reports" in card
    assert f"1: {ones}" in card
    low, high = labels["hardness"].min(), labels["hardness"].max()
    assert f"{low:.4g} to {high:.4g} HV" in card
    assert "`training.members`: 2" in card
    assert "`hardness`: tails calibration of the spread" in card
    assert "epochs; no alloys held out for stopping." in card  # of fewer than 100 labelled alloys
    assert "- Labels of `hardness` in 10 folds; each member is trained without one" in card


def test_it_lies_beside_a_saved_model_and_is_the_same_after_loading(vae_of_kinds, tmp_path):
    vae_of_kinds.save(tmp_path)
    assert (tmp_path / CARD).read_text(encoding="utf-8") == vae_of_kinds.card()
    assert DisentangledVAE.load(tmp_path).card() == vae_of_kinds.card()


def test_without_its_facts_a_model_says_that_they_are_missing(vae_of_kinds, tmp_path):
    vae_of_kinds.save(tmp_path)
    (tmp_path / "model_card.json").unlink()
    assert "its labels were not recorded" in DisentangledVAE.load(tmp_path).card()


def test_a_notebook_shows_what_is_not_the_default_escaped(vae_of_kinds):
    shown = vae_of_kinds._repr_html_()
    for name in spec_differences(vae_of_kinds.spec):
        assert name in shown
    assert "latent.prior.dist" not in shown  # the default's
    assert "<class" not in shown
