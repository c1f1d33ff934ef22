import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from small import small_spec

from pyro_hea import ModelSpec, load_alloys
from pyro_hea.errors import CheckpointError
from pyro_hea.evaluate import Runner, headline, published_benchmark, published_run
from pyro_hea.evaluate.published import cached_vae

SPEC = small_spec(
    training__batch_size=512,
    training__distillation={"trees": 4, "synthetic_alloys": 100, "steps": 5},
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_trees):
    folder = tmp_path_factory.mktemp("published")
    runner = Runner(SPEC, folder, "cpu", progress=False)
    return folder, published_benchmark(runner, seeds=2, baselines=["logistic_regression"])


def test_each_seed_is_a_run_of_the_protocol(finished):
    _, result = finished
    assert (result["protocol"], result["seeds"]) == ("published", 2)
    assert [metrics["seed"] for metrics in result["runs"]] == [0, 1]
    run = published_run(SPEC, seed=1, device="cpu", progress=False)
    assert result["runs"][1] == run.metrics
    assert result["runs"][0]["classification"] != run.metrics["classification"]


def test_the_summary_is_the_mean_of_the_runs(finished):
    _, result = finished
    rows = [headline(metrics) for metrics in result["runs"]]
    assert set(result["summary"]) == set(rows[0])
    for name, values in result["summary"].items():
        each = [row[name] for row in rows]
        assert values["mean"] == pytest.approx(np.mean(each))
        assert min(each) <= values["low"] <= values["mean"] <= values["high"] <= max(each)


def test_baselines_are_measured_on_the_same_alloys(finished):
    _, result = finished
    for scores in result["models"].values():
        assert scores["all"]["n"] == 135
    aucs = [run["classification"]["all"]["auc"] for run in result["runs"]]
    assert result["models"]["pyro_hea"]["all"]["auc"] == pytest.approx(np.mean(aucs))


def test_the_models_are_kept_and_predict_the_same(finished):
    folder, result = finished
    vae = cached_vae(0, SPEC, "cpu", folder)
    assert not vae.history["epoch"].any()  # read, not trained
    test = load_alloys("zeng2024").split("published")["test"]
    known = test.labels["single_phase"].notna().to_numpy()
    p = vae.predict(test)["single_phase"][known]
    auc = roc_auc_score(test.labels["single_phase"][known], p)
    assert auc == pytest.approx(result["runs"][0]["classification"]["all"]["auc"])


def test_a_kept_model_of_another_spec_is_refused(finished):
    folder, _ = finished
    with pytest.raises(CheckpointError, match="another spec"):
        cached_vae(0, ModelSpec(), "cpu", folder)
