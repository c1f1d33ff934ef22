"""Cross-validation of every kind of target beside baselines, on the small alloys of the tests."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_absolute_error, r2_score, roc_auc_score

from pyro_hea import ModelSpec, cross_validate
from pyro_hea.errors import DataError
from pyro_hea.evaluate.folds import assign_folds, element_sets

MODELS = {
    "single_phase": ["pyro_hea", "extra_trees", "gaussian_process", "logistic_regression"],
    "hardness": ["pyro_hea", "extra_trees", "gaussian_process", "ridge"],
}


@pytest.fixture(scope="module")
def spec(vae_of_kinds):
    return vae_of_kinds.spec.with_(training__epochs=5, training__distillation__steps=10)


@pytest.fixture(scope="module")
def result(spec, alloys_of_kinds):
    return cross_validate(spec, alloys_of_kinds, folds=2, seed=1, progress=False)


def test_each_label_is_predicted_once_by_every_model(result, alloys_of_kinds):
    for target, models in MODELS.items():
        of_target = result.predictions[result.predictions["target"] == target]
        labels = alloys_of_kinds.labels[target].dropna()
        assert list(dict.fromkeys(of_target["model"])) == models
        for _, rows in of_target.groupby("model"):
            assert sorted(rows["formula"]) == sorted(labels.index)
            expected = labels.loc[rows["formula"]].to_numpy(float)
            np.testing.assert_allclose(rows["label"].to_numpy(float), expected)


def test_scores_are_those_of_the_pooled_predictions(result):
    for model in MODELS["hardness"]:
        rows = result.predictions.query("target == 'hardness' and model == @model")
        scores = result.table.loc["hardness", model]
        assert scores["mae"] == pytest.approx(
            mean_absolute_error(rows["label"], rows["prediction"])
        )
        assert scores["r2"] == pytest.approx(r2_score(rows["label"], rows["prediction"]))
        inside = (rows["label"] >= rows["low"]) & (rows["label"] <= rows["high"])
        assert scores["coverage"] == pytest.approx(inside.mean())
    rows = result.predictions.query("target == 'single_phase' and model == 'pyro_hea'")
    p = np.where(rows["label"] == 1, rows["probability"], 1 - rows["probability"])
    scores = result.table.loc["single_phase", "pyro_hea"]
    assert scores["auc"] == pytest.approx(roc_auc_score(rows["label"], p))
    assert scores["log_loss"] == pytest.approx(log_loss(rows["label"], p))
    several = result.table.loc["phase", "pyro_hea"]
    assert 0 <= several["accuracy"] <= 1
    assert np.isfinite(several["log_loss"])


def test_the_baselines_learn_on_the_same_folds(result):
    folds = result.predictions.groupby(["target", "formula"])["fold"].nunique()
    assert (folds == 1).all()
    assert result.table.loc["hardness", "extra_trees"]["r2"] > 0.3
    assert result.table.loc["single_phase", "extra_trees"]["auc"] > 0.7


def test_a_summary_has_one_row_a_target_and_the_figure_one_panel(result):
    summary = result.summary()
    assert summary["target"].tolist() == ["single_phase", "phase", "hardness"]
    assert summary.set_index("target").loc["hardness", "value"].endswith(" HV")
    panels = result.plot()
    assert len(panels) == 3
    assert panels[2].get_xlabel() == "hardness, measured (HV)"
    assert "folds by random" in repr(result)


@pytest.mark.parametrize("by", ["random", "element_set"])
def test_folds_hold_out_every_alloy_once(by, alloys_of_kinds, spec):
    fold = assign_folds(alloys_of_kinds, spec.targets, 4, by, seed=0)
    assert set(fold) == {0, 1, 2, 3}
    sets = np.array(element_sets(alloys_of_kinds.fractions))
    if by == "element_set":
        assert not any(set(sets[fold == k]) & set(sets[fold != k]) for k in range(4))
    assert (assign_folds(alloys_of_kinds, spec.targets, 4, by, seed=1) != fold).any()


def test_folds_that_cannot_be_made_are_refused(spec, alloys_of_kinds):
    with pytest.raises(DataError, match="there are no folds by 'composition'"):
        cross_validate(spec, alloys_of_kinds, by="composition", progress=False)
    with pytest.raises(DataError, match="folds=1 is not allowed; use 2 to 60"):
        cross_validate(spec, alloys_of_kinds, folds=1, progress=False)
    with pytest.raises(DataError, match="50 folds need at least 50 labels of 'hardness'"):
        cross_validate(spec, alloys_of_kinds, folds=50, progress=False)
    with pytest.raises(DataError, match="there are 0"):
        cross_validate(ModelSpec(targets={"ductile": {}}), alloys_of_kinds, progress=False)
