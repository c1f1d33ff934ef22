"""The simulated campaign: what is hidden, what is counted, and that learning pays."""

import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea import AlloyDataset, DisentangledVAE, load_alloys
from pyro_hea.errors import DataError
from pyro_hea.evaluate import campaign
from pyro_hea.evaluate.campaign import STRATEGIES, Strategy, campaign_summary, play_strategy
from pyro_hea.materials.alloys.composition import fraction_table

TINY = small_spec(
    training__distillation={"trees": 4, "synthetic_alloys": 100, "steps": 5},
)


@pytest.fixture(scope="module")
def pool():
    alloys = load_alloys("zeng2024")
    wide = alloys.take((alloys.number_of_elements >= 4).to_numpy())
    return wide.take(wide.labels["single_phase"].notna().to_numpy())


def test_every_strategy_plays_from_the_same_start_and_counts_its_hits(pool, monkeypatch):
    monkeypatch.setattr(campaign, "_TREES", 10)
    few = pool.take(np.arange(120))
    short = {"start": 40, "rounds": 2, "picks": 10, "spec": TINY}
    table = pd.concat(play_strategy(name, 0, few, **short) for name in STRATEGIES)
    assert (table["labels"] == 40 + 10 * table["round"]).all()
    for _, part in table.groupby("strategy"):
        assert (part["hits"].cumsum() == part["found"]).all()
    again = play_strategy("batch", 0, few, **short)
    pd.testing.assert_frame_equal(again, table[table["strategy"] == "batch"])


def test_labels_that_are_held_back_are_not_seen(pool, monkeypatch):
    seen = []

    def surrogate(told, spec, seed):
        seen.append((told.labels["single_phase"].notna(), set(told.reports["formula"])))
        return np.full((1, len(told)), 0.5)

    first = Strategy(surrogate, lambda members, fractions, picks, rng: np.arange(picks))
    monkeypatch.setitem(STRATEGIES, "first", first)
    table = play_strategy("first", 0, pool, start=30, rounds=3, picks=5)
    assert [int(known.sum()) for known, _ in seen] == [30, 35, 40]
    for known, reported in seen:
        assert reported <= set(known[known].index)
    assert table["labels"].tolist() == [35, 40, 45]


def test_a_perfect_strategy_hits_every_time_and_chance_the_base_rate(pool, monkeypatch):
    single = pool.labels["single_phase"].to_numpy()
    perfect = Strategy(lambda data, spec, seed: single[None], campaign._greedy)
    monkeypatch.setitem(STRATEGIES, "perfect", perfect)
    played = [play_strategy(n, seed, pool) for n in ("perfect", "random") for seed in range(10)]
    table = pd.concat(played)
    last = campaign_summary(table).set_index(["strategy", "round"])["mean"]
    assert last["perfect", 5] == 100
    assert last["random", 5] == pytest.approx(100 * single.mean(), abs=8)


def test_expected_improvement_prefers_the_uncertain_of_two_alike():
    members = np.array([[0.5, 0.1, 0.9], [0.5, 0.9, 0.9]])
    order = campaign._expected_improvement(members, np.eye(3), 3, np.random.default_rng(0))
    assert order.tolist() == [1, 0, 2] or order.tolist() == [2, 1, 0]
    better = campaign._upper_confidence_bound(members, np.eye(3), 3, np.random.default_rng(0))
    assert better.tolist() == [1, 2, 0] or better.tolist() == [2, 1, 0]


def test_what_cannot_be_played_is_refused(pool):
    with pytest.raises(DataError, match="no strategy 'luck'"):
        play_strategy("luck", 0, pool)
    with pytest.raises(DataError, match="too small"):
        play_strategy("random", 0, pool.take(np.arange(60)))


def test_elements_of_candidates_alone_are_no_obstacle():
    rare = ["Re", "Rh", "Ru", "Pt", "Pd", "Ir", "Os", "Sc", "Y", "La", "Ce", "Nd", "Gd", "Er"]
    common = load_alloys("zeng2024").split("published")["labelled"].take(np.arange(100))
    formulas = [*(f"Ni2{x}" for x in rare), *common.formulas]
    labels = pd.DataFrame({"formula": formulas, "target": "single_phase"})
    labels["value"] = np.arange(len(formulas)) % 2
    told = AlloyDataset.from_reports(fraction_table(formulas), labels, ["single_phase"])
    trained = DisentangledVAE(TINY).fit(told, seed=0, device="cpu", progress=False)
    assert set(trained.ensemble.elements) < set(told.elements)  # some were held out to stop by
    members = STRATEGIES["greedy"].surrogate(told, TINY, 0)
    assert members.shape == (2, len(formulas))
    assert np.isfinite(members).all()
