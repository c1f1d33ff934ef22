"""Protocols of design, with a tiny model: what they count, not how good it is."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.errors import DataError
from pyro_hea.evaluate import rediscovery
from pyro_hea.evaluate.design import (
    judged_changes,
    judged_designs,
    summary_of_changes,
    summary_of_designs,
)
from pyro_hea.evaluate.rediscovery import (
    GROUPS,
    rediscovered,
    rediscovery_group,
    rediscovery_sets,
    rediscovery_summary,
)
from pyro_hea.materials.alloys.dataset import element_sets


@pytest.fixture(scope="module")
def alloys():
    return load_alloys("zeng2024")


@pytest.fixture(scope="module")
def vae(alloys):
    spec = ModelSpec(
        latent={"flow": None},
        training={
            "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
            "members": 2,
            "epochs": 15,
        },
    )
    return DisentangledVAE(spec).fit(alloys, seed=0, device="cpu", progress=False)


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch):
    from pyro_hea.design import samplers

    monkeypatch.setattr(samplers, "_CANDIDATES", 256)


def test_designs_are_counted(vae):
    table = judged_designs(vae, 1, n=30)
    assert table["predicted"].between(0, 1).all()
    row = summary_of_designs(table)
    assert row["designs"] == 30
    assert row["judged single phase"] == np.mean([judged > 0.5 for judged in table["judged"]])
    assert row["violations"] == 0
    assert 1 <= row["element sets"] <= 30
    assert row["smallest novelty"] >= 0.02 - 1e-9


def test_a_start_without_an_end_counts_as_a_failure(vae, alloys):
    some = alloys.take((alloys.labels["single_phase"] == 0).to_numpy().nonzero()[0][:3])
    table = judged_changes(vae, some, "invert", confidence=0.999)
    assert len(table) == 3
    summary = summary_of_changes([table])
    assert summary["starts"] == 3
    assert summary["judged single phase"] <= summary["found"]


def test_sets_for_rediscovery_are_wide_hold_single_phase_alloys_and_stay_the_same(alloys):
    sets = rediscovery_sets(alloys)
    assert len(set(sets)) == 20
    assert sets == rediscovery_sets(alloys)
    single = alloys.take((alloys.labels["single_phase"] == 1).to_numpy())
    assert set(sets) <= set(element_sets(single.fractions))
    with pytest.raises(DataError, match="not 100000"):
        rediscovery_sets(alloys, 100_000)


def test_a_group_is_designed_in_by_a_model_that_was_not_shown_its_sets(alloys, monkeypatch):
    given = []

    def look(vae, alloys, sets, **settings):
        given.append((set(element_sets(vae.ensemble.known)), sets))
        return pd.DataFrame({"set": sets})

    monkeypatch.setattr(rediscovery, "rediscovered", look)
    tiny = {"hidden": (4,)}
    training = {"members": 1, "epochs": 1, "distillation": None, "wake_sleep": 0}
    spec = ModelSpec(latent={"dim": 2}, head=tiny, encoder=tiny, decoder=tiny, training=training)
    for group in range(GROUPS):
        rediscovery_group(group, spec, device="cpu", progress=False)
    held = [name for _, sets in given for name in sets]
    assert sorted(held) == rediscovery_sets(alloys)
    for known, sets in given:
        assert not known & set(sets)


def test_hits_are_within_five_percent_of_a_held_out_single_phase_alloy(vae, alloys):
    (row,) = rediscovered(vae, alloys, ["CoCrFeNi"], n=40).to_dict("records")
    own = np.array(element_sets(alloys.fractions)) == "CoCrFeNi"
    single = (alloys.labels["single_phase"] == 1).to_numpy()
    assert row["alloys"] == (own & single).sum()
    assert row["equimolar"] == 1.0
    assert 0 < row["uniform"] < 0.5
    assert row["found"] == (row["designs"] > 0)


def test_a_ratio_to_uniform_compositions_has_an_interval_around_it():
    rng = np.random.default_rng(0)
    rows = {"designs": rng.uniform(0.2, 0.4, 20), "uniform": 0.05, "equimolar": 1.0, "found": 1.0}
    times = rediscovery_summary(pd.DataFrame(rows))["times uniform"]
    assert times["mean"] == pytest.approx(rows["designs"].mean() / 0.05)
    assert 4 < times["low"] < times["mean"] < times["high"] < 8
