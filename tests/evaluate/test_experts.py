"""What an expert's prior buys, on a few alloys."""

import numpy as np
import pytest

from pyro_hea import load_alloys
from pyro_hea.evaluate import expert_priors, experts
from pyro_hea.spec import Logistic


@pytest.fixture(scope="module")
def found(few_labels_runner):
    return expert_priors(few_labels_runner, seeds=2, budgets=[10])


def test_every_prior_is_measured_and_the_experts_without_labels(found):
    models = found["budgets"]["10"]["models"]
    alone = ["rule alone", "logistic alone"]
    assert list(models) == ["flat", "rule", "logistic", "wrong", *alone, "logistic_regression"]
    of_rule = models["rule alone"]["auc"]  # the same in every seed: nothing is learnt
    assert of_rule["low"] == of_rule["mean"] == of_rule["high"]
    assert set(models["flat"]) == {
        "auc",
        "log_loss",
        "auc, ≥ 4 elements",
        "log_loss, ≥ 4 elements",
    }


def test_the_rule_alone_is_scored_as_the_share_of_pairs_that_it_orders_rightly(found):
    test = load_alloys("zeng2024").split("published")["test"]
    x, y = test.features, test.labels["single_phase"]
    met = (x["atomic_size_difference"] <= 6.6) & x["mixing_enthalpy"].between(-15, 5)
    ones, zeros = met[y == 1].mean(), met[y == 0].mean()
    by_hand = ones * (1 - zeros) + 0.5 * (ones * zeros + (1 - ones) * (1 - zeros))
    assert found["budgets"]["10"]["models"]["rule alone"]["auc"]["mean"] == pytest.approx(by_hand)


def test_the_wrong_opinion_is_the_other_one_turned_round():
    right, wrong = experts.OPINION, experts.WRONG
    assert isinstance(wrong, Logistic)
    assert wrong.logistic == {name: -value for name, value in right.logistic.items()}


def test_differences_are_expert_minus_flat_and_flat_minus_baseline(found):
    scores = found["budgets"]["10"]
    assert list(scores["differences"]) == [
        "rule - flat",
        "logistic - flat",
        "wrong - flat",
        "flat - logistic_regression",
    ]
    for pair, measures in scores["differences"].items():
        for key, difference in measures.items():
            a, b = (scores["models"][name][key]["mean"] for name in pair.split(" - "))
            assert difference["mean"] == pytest.approx(a - b, abs=1e-12)
            assert np.isfinite([difference["low"], difference["high"]]).all()
