import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from small import small_spec

from pyro_hea.evaluate import Runner, comparison, folds_benchmark, label_budget
from pyro_hea.evaluate.comparison import MODEL, compare

TINY = small_spec(
    training__batch_size=512,
    training__distillation={"trees": 4, "synthetic_alloys": 100, "steps": 5},
)
BASELINES = ("gradient_boosting", "logistic_regression")


def runs_of(n, seeds):
    """Predictions of two models for the same alloys, the first the better one."""
    rng = np.random.default_rng(0)
    size, y = rng.integers(2, 7, n), rng.integers(0, 2, n)
    runs = []
    for _ in range(seeds):
        columns = {
            name: 1 / (1 + np.exp(-rng.normal(signal * (2 * y - 1), 1.0)))
            for name, signal in (("a", 1.5), ("b", 0.5))
        }
        run = pd.DataFrame({"formula": [f"alloy {i:03}" for i in range(n)], "label": y, **columns})
        runs.append(
            run.assign(number_of_elements=size).sample(frac=1, random_state=rng.integers(9))
        )
    return runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    runner = Runner(TINY, folder, "cpu", progress=False)
    return runner, folds_benchmark("random", runner, seeds=1, baselines=BASELINES)


def test_measures_are_those_of_the_pooled_folds(finished):
    runner, result = finished
    units = {f"random-seed0-fold{fold}": lambda: pytest.fail("ran again") for fold in range(5)}
    pooled = pd.concat(map(pd.DataFrame, runner.run(units).values()))
    assert len(pooled) == pooled["formula"].nunique() == 1365
    for model in (MODEL, *BASELINES):
        told = result["models"][model]["all"]
        assert told["auc"] == pytest.approx(roc_auc_score(pooled["label"], pooled[model]))
        assert told["log_loss"] == pytest.approx(log_loss(pooled["label"], pooled[model]))
        large = pooled[pooled["number_of_elements"] >= 4]
        told = result["models"][model]["≥ 4 elements"]
        assert told["auc"] == pytest.approx(roc_auc_score(large["label"], large[model]))


def test_a_finished_fold_is_not_run_again(finished, monkeypatch):
    runner, result = finished
    monkeypatch.setattr(comparison, "_trained", lambda *a: pytest.fail("ran again"))
    assert folds_benchmark("random", runner, seeds=1, baselines=BASELINES) == result


@pytest.mark.parametrize(("group", "fewest"), [("all", 0), ("≥ 4 elements", 4)])
@pytest.mark.parametrize(("measure", "score"), [("auc", roc_auc_score), ("log_loss", log_loss)])
def test_differences_are_paired_and_their_intervals_are_of_the_alloys(
    measure, score, group, fewest
):
    runs = runs_of(200, 2)
    told = compare(runs, ["a", "b"])["differences"]["b"][f"{measure}, {group}"]
    chosen = [run[run["number_of_elements"] >= fewest].sort_values("formula") for run in runs]
    means = [np.mean([score(run["label"], run[name]) for run in chosen]) for name in ("a", "b")]
    assert told["mean"] == pytest.approx(means[0] - means[1])
    rng, drawn = np.random.default_rng(1), []
    for _ in range(100):  # the same alloys in every seed
        rows = rng.integers(len(chosen[0]), size=len(chosen[0]))
        each = [
            [score(run["label"].to_numpy()[rows], run[m].to_numpy()[rows]) for m in ("a", "b")]
            for run in chosen
        ]
        drawn.append(np.subtract(*np.mean(each, axis=0)))
    spread = told["high"] - told["low"]
    assert spread == pytest.approx(np.subtract(*np.quantile(drawn, [0.975, 0.025])), rel=0.3)
    assert told["low"] < told["mean"] < told["high"]


def test_a_model_does_not_differ_from_itself():
    (run,) = runs_of(100, 1)
    differences = compare([run.assign(b=run["a"])], ["a", "b"])["differences"]["b"]
    assert all(d == {"mean": 0, "low": 0, "high": 0} for d in differences.values())


def test_a_budget_is_measured_on_the_same_test_alloys_by_every_model(tmp_path):
    runner = Runner(TINY, tmp_path, "cpu", progress=False)
    result = label_budget(runner, budgets=(25,), seeds=2, baselines=BASELINES[:1])
    units = {f"budget25-seed{seed}": lambda: pytest.fail("ran again") for seed in range(2)}
    runs = [pd.DataFrame(unit) for unit in runner.run(units).values()]
    assert [len(run) for run in runs] == [135, 135]
    aucs = {m: [roc_auc_score(r["label"], r[m]) for r in runs] for m in (MODEL, BASELINES[0])}
    told = result["budgets"]["25"]
    for model, values in aucs.items():
        assert told["models"][model]["auc"]["mean"] == pytest.approx(np.mean(values))
    difference = told["auc_difference"][BASELINES[0]]["mean"]
    assert difference == pytest.approx(np.subtract(*aucs.values()).mean())
