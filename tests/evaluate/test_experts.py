"""What an expert's prior buys, on a few alloys."""

import pytest

from pyro_hea import ModelSpec, load_alloys
from pyro_hea.evaluate import Runner, expert_priors, experts

TINY = ModelSpec().with_(
    head__hidden=[8], encoder__hidden=[8], decoder__hidden=[8], latent={"dim": 2, "flow": None}
)


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "SIZE", {"training__members": 1, "training__epochs": 1})
        return expert_priors(Runner(TINY, progress=False), seeds=2, budgets=[10])


def test_every_prior_is_measured_and_the_rule_without_labels(found):
    models = found["budgets"]["10"]["models"]
    assert list(models) == ["flat", "rule", "logistic", "rule alone"]
    alone = models["rule alone"]["auc"]  # the same in every seed: nothing is learnt
    assert alone["low"] == alone["mean"] == alone["high"]


def test_the_rule_alone_is_scored_as_the_share_of_pairs_that_it_orders_rightly(found):
    test = load_alloys("zeng2024").split("published")["test"]
    x, y = test.features, test.labels["single_phase"]
    met = (x["atomic_size_difference"] <= 6.6) & x["mixing_enthalpy"].between(-15, 5)
    ones, zeros = met[y == 1].mean(), met[y == 0].mean()
    by_hand = ones * (1 - zeros) + 0.5 * (ones * zeros + (1 - ones) * (1 - zeros))
    assert found["budgets"]["10"]["models"]["rule alone"]["auc"]["mean"] == pytest.approx(by_hand)


def test_differences_are_expert_minus_flat(found):
    scores = found["budgets"]["10"]
    for name in ("rule", "logistic"):
        difference = scores["differences"][name]["auc"]["mean"]
        means = [scores["models"][n]["auc"]["mean"] for n in (name, "flat")]
        assert difference == pytest.approx(means[0] - means[1], abs=1e-12)
