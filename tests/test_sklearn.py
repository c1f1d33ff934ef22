"""scikit-learn's own checks of the estimators, and that they work in its tools."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from small import few_labels

from pyro_hea import ModelSpec
from pyro_hea.errors import DataError, TableWarning
from pyro_hea.sklearn import AlloyClassifier, AlloyRegressor

pytestmark = few_labels

TINY = {"hidden": [4]}
SPEC = ModelSpec(
    latent={"dim": 2, "flow": None},
    features={"bins": 3},
    head={"hidden": [16]},
    encoder=TINY,
    decoder=TINY,
    training={
        "members": 1,
        "epochs": 1,
        "wake_sleep": 0.0,
        "distillation": {"trees": 20, "synthetic_alloys": 200, "steps": 60},
    },
)


@pytest.fixture(scope="module")
def table(alloys_of_kinds):
    return alloys_of_kinds.fractions, alloys_of_kinds.labels


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [AlloyRegressor, AlloyClassifier])
@pytest.mark.filterwarnings("ignore::pyro_hea.errors.PyroHEAWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_pass(estimator):
    results = check_estimator(estimator(SPEC), on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 40


def test_an_unlabelled_row_is_trained_on_without_a_label(table):
    fractions, labels = table
    model = AlloyRegressor(SPEC).fit(fractions, labels["hardness"])
    assert model.vae_.ensemble.known.shape[0] == len(fractions)
    assert model.elements_ == tuple(fractions.columns)
    mean, sd = model.predict(fractions, return_std=True)
    assert mean.shape == sd.shape == (len(fractions),)
    assert (sd > 0).all()
    known = labels["single_phase"].where(labels.index.isin(labels.index[:40]), -1)
    masked = labels["single_phase"].where(known != -1)
    one, other = (AlloyClassifier(SPEC).fit(fractions, y) for y in (known, masked))
    assert one.classes_.tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(one.predict_proba(fractions), other.predict_proba(fractions))


def test_amounts_in_percent_are_the_same_alloys(table):
    fractions, labels = table
    model = AlloyRegressor(SPEC).fit(fractions, labels["hardness"])
    np.testing.assert_allclose(model.predict(100 * fractions), model.predict(fractions), rtol=1e-5)


def test_it_works_in_cross_validation_grid_search_and_pipelines(table):
    fractions, labels = table
    pipeline = make_pipeline(FunctionTransformer(), AlloyClassifier(SPEC))
    scores = cross_val_score(pipeline, fractions, labels["phase"], cv=2)
    assert scores.shape == (2,)
    specs = [SPEC, SPEC.with_(training__members=2)]
    search = GridSearchCV(AlloyClassifier(SPEC), {"spec": specs}, cv=2)
    search.fit(fractions, labels["single_phase"])
    assert search.best_params_["spec"] in specs
    assert clone(search.best_estimator_).spec == search.best_params_["spec"]


def test_what_is_no_composition_is_refused_and_unnamed_columns_are_told(table):
    fractions, labels = table
    empty = fractions.copy()
    empty.iloc[3] = 0.0
    with pytest.raises(DataError, match="row 3 of X holds no element"):
        AlloyRegressor(SPEC).fit(empty, labels["hardness"])
    with pytest.raises(DataError, match="Negative values in data"):
        AlloyRegressor(SPEC).fit(-fractions, labels["hardness"])
    with pytest.raises(DataError, match="2 elements for the 14 columns"):
        AlloyRegressor(SPEC, elements=("Al", "Ni")).fit(fractions, labels["hardness"])
    with pytest.warns(TableWarning, match="are taken for"):
        AlloyClassifier(SPEC).fit(fractions.to_numpy(), labels["single_phase"])
