import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from pyro_hea.errors import DataError, FormulaError, UnknownElementError
from pyro_hea.evaluate import Judge, embedded_judge
from pyro_hea.evaluate.measures import classification_metrics
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import RICH_FEATURES

# "Richer features" of the measures: what the model has learnt to read since is none of them.
RANKS = {f"{nth}_largest_fraction" for nth in ("second", "third", "fourth", "fifth")}
FEATURES = tuple(name for name in RICH_FEATURES if name not in RANKS)

ALLOYS = ["CoCrFeMnNi", "Al0.5CoCrFeNi", "CuNi", "HfNbTaTiZr", "AlCoCrCuFeNiTi"]


@pytest.fixture(scope="module")
def judge():
    return embedded_judge()


def test_the_judge_is_the_one_of_the_measures(judge):
    trees_0, trees_1, boosting = judge.members
    for trees, seed in ((trees_0, 0), (trees_1, 1)):
        assert isinstance(trees, ExtraTreesClassifier)
        assert (trees.n_estimators, trees.min_samples_leaf, trees.random_state) == (400, 2, seed)
    assert isinstance(boosting, HistGradientBoostingClassifier)
    assert (boosting.learning_rate, boosting.max_iter, boosting.random_state) == (0.06, 200, 0)
    assert {m.n_features_in_ for m in judge.members} == {27 + 30}
    assert judge.elements == load_tables("published").elements
    assert judge.feature_map.names == FEATURES


def test_every_phase_report_was_learned_from(judge):
    # each tree sees all reports, as extra trees do not resample
    counts = {int(tree.tree_.n_node_samples[0]) for tree in judge.members[0].estimators_}
    assert counts == {1373}


def test_its_verdict_is_the_mean_of_its_members(judge):
    x = judge._inputs(fraction_table(ALLOYS))
    each = np.array([member.predict_proba(x)[:, 1] for member in judge.members])
    assert np.ptp(each, axis=0).max() > 0.01
    assert judge.predict(fraction_table(ALLOYS)) == pytest.approx(each.mean(axis=0))


def test_its_inputs_are_features_with_the_published_tables_and_roots_of_fractions(judge):
    (inputs,) = judge._inputs(fraction_table("Ni3W"))
    features = dict(zip(FEATURES, inputs, strict=False))
    assert features["valence_electron_concentration"] == pytest.approx(0.75 * 10 + 0.25 * 20)
    roots = dict(zip(judge.elements, inputs[len(FEATURES) :], strict=True))
    assert {e: r for e, r in roots.items() if r} == pytest.approx({"Ni": 0.75**0.5, "W": 0.5})


def test_well_known_alloys_are_judged_as_the_field_knows_them(judge):
    cantor, _, cupronickel, senkov, many = judge.predict(fraction_table(ALLOYS))
    assert min(cantor, cupronickel, senkov) > 0.5 > many


def test_order_and_absence_of_columns_do_not_matter(judge):
    table = fraction_table(ALLOYS)
    expected = judge.predict(table)
    assert (judge.predict(table[table.columns[::-1]]) == expected).all()
    assert (judge.predict(table.assign(Ag=0.0)) == expected).all()
    assert (judge.predict(table.reset_index(drop=True)) == expected).all()
    assert judge.predict(table.iloc[::-1]) == pytest.approx(expected[::-1])


def test_an_element_that_it_never_saw_is_refused(judge):
    with pytest.raises(UnknownElementError, match="'La' in 'LaNi'"):
        judge.predict(fraction_table(["CoNi", "LaNi"]))
    with pytest.raises(FormulaError, match="Row 1"):
        judge.predict(pd.DataFrame({"Ni": [np.nan], "Co": [1.0]}))


def test_no_alloys_have_no_verdicts(judge):
    assert judge.predict(fraction_table([], ["Co", "Ni"])).shape == (0,)


def test_it_is_fitted_once(judge):
    assert embedded_judge() is judge


def test_a_fit_is_reproducible_and_better_than_chance_elsewhere():
    # what mixes by Hume-Rothery's rules: copper with nickel, but not with iron
    rng = np.random.default_rng(0)
    c = rng.uniform(0.1, 0.9, 120)
    other = rng.integers(0, 2, 120)
    table = pd.DataFrame({"Cu": c, "Ni": (1 - c) * other, "Fe": (1 - c) * (1 - other)})
    first, second = (Judge.fit(table[:80], other[:80]) for _ in range(2))
    assert (first.predict(table[80:]) == second.predict(table[80:])).all()
    assert classification_metrics(other[80:], first.predict(table[80:]))["auc"] == 1


@pytest.mark.parametrize("labels", [[0, 1], [1, 1, 1], [0, 1, 2], [0, 1, np.nan]])
def test_labels_must_be_zeros_and_ones_for_each_alloy(labels):
    with pytest.raises(DataError, match="a label, 0 or 1"):
        Judge.fit(fraction_table(["CoNi", "CuNi", "FeNi"]), labels)
