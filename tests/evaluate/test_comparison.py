import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea import ModelSpec
from pyro_hea.evaluate import comparison
from pyro_hea.evaluate.comparison import MODEL, cross_validation, label_budget

TINY = ModelSpec(
    head={"hidden": [16]},
    encoder={"hidden": [8]},
    decoder={"hidden": [8]},
    latent={"dim": 2, "flow": None},
    training={"members": 2, "epochs": 4},
)
BASELINES = ("extra_trees", "logistic_regression")


def folds_of(path):
    return pd.concat([pd.read_csv(file) for file in sorted(path.glob("random-*.csv"))])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    cache = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "_DRAWS", 30)
        options = {"seeds": 1, "baselines": BASELINES, "progress": False}
        result = cross_validation("random", TINY, cache=cache, **options)
    return cache, result


def test_measures_are_those_of_the_pooled_folds(finished):
    cache, result = finished
    pooled = folds_of(cache)
    for model in (MODEL, *BASELINES):
        told = result["models"][model]["all"]
        assert told["auc"] == pytest.approx(roc_auc_score(pooled["label"], pooled[model]))
        assert told["log_loss"] == pytest.approx(log_loss(pooled["label"], pooled[model]))
        large = pooled[pooled["number_of_elements"] >= 4]
        told = result["models"][model]["≥ 4 elements"]
        assert told["auc"] == pytest.approx(roc_auc_score(large["label"], large[model]))


def test_differences_are_paired_and_lie_in_their_intervals(finished):
    _, result = finished
    for baseline in BASELINES:
        auc = result["differences"][baseline]["auc"]
        pair = [result["models"][model]["all"]["auc"] for model in (MODEL, baseline)]
        assert auc["mean"] == pytest.approx(pair[0] - pair[1])
        assert auc["low"] <= auc["mean"] <= auc["high"]


def test_a_finished_fold_is_not_run_again(finished, monkeypatch):
    cache, result = finished
    monkeypatch.setattr(comparison, "_DRAWS", 30)
    monkeypatch.setattr(comparison, "predictions", lambda *a: pytest.fail("ran again"))
    again = cross_validation("random", TINY, seeds=1, baselines=BASELINES, cache=cache)
    assert again == result


def test_a_budget_is_measured_on_the_same_test_alloys_by_every_model(tmp_path):
    options = {"seeds": 2, "baselines": BASELINES[:1], "progress": False}
    result = label_budget(TINY, budgets=(25,), cache=tmp_path, **options)
    runs = [pd.read_csv(tmp_path / f"budget25-seed{seed}.csv") for seed in range(2)]
    assert [len(run) for run in runs] == [135, 135]
    aucs = {m: [roc_auc_score(r["label"], r[m]) for r in runs] for m in (MODEL, "extra_trees")}
    told = result["budgets"][25]
    for model, values in aucs.items():
        assert told["models"][model]["auc"] == pytest.approx(np.mean(values))
    difference = told["auc_difference"]["extra_trees"]["mean"]
    assert difference == pytest.approx(np.subtract(aucs[MODEL], aucs["extra_trees"]).mean())
