import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.explain import FIELD_RULES, compare_rules, distil, features_of


@pytest.fixture(scope="module")
def rules(vae, alloys):
    return distil(vae, alloys, depth=2)


def test_the_tree_does_mostly_as_the_head_does(vae, alloys, rules):
    table = compare_rules(vae, alloys, rules)
    assert table.loc["the head", "fidelity"] == 1
    assert table.loc["distilled tree", "fidelity"] > table.loc["always 1", "fidelity"]
    assert rules.tree.get_depth() <= 2


def test_scores_are_those_counted_by_hand(vae, alloys, rules):
    table = compare_rules(vae, alloys, rules)
    y = alloys.labels["single_phase"] == 1
    call = alloys.features["omega"] > 1.1
    scores = table.loc["Ω > 1.1"]
    assert scores["accuracy"] == (call == y).mean()
    assert scores["balanced_accuracy"] == pytest.approx((call[y].mean() + (~call)[~y].mean()) / 2)
    assert scores["called"] == call.mean()
    head = vae.predict(alloys)["single_phase"] > 0.5
    assert scores["fidelity"] == (call == head).mean()


def test_the_rules_read_as_text_and_can_be_followed(vae, alloys, rules):
    lines = str(rules).splitlines()
    assert 2 <= sum("single_phase = " in line for line in lines) <= rules.tree.get_n_leaves()
    first = lines[0].split()
    name, threshold = first[1], float(first[3])
    features = features_of(vae, alloys)
    left = features[name] <= threshold
    called = rules.apply(features)
    assert called.name == "single_phase"
    assert rules.tree.tree_.n_node_samples[1] == pytest.approx(left.sum(), abs=1)


def test_what_is_read_is_what_is_applied_and_no_question_is_idle(vae, alloys):
    deep = distil(vae, alloys, depth=4)
    features = features_of(vae, alloys)

    def follow(lines, row):
        """Class of one alloy by the text alone, and the answers under each question."""
        head = lines[0].split("--- ")[1].split()
        if head[1] == "=":
            return float(head[2])
        depth = lines[0].index("|---")
        turn = next(i for i, line in enumerate(lines[1:], 1) if line.index("|---") == depth)
        left, right = lines[1:turn], lines[turn + 1 :]
        answers = {line.split(" = ")[1] for line in left + right if " = " in line}
        assert len(answers) == 2
        return follow(left if row[head[0]] <= float(head[2]) else right, row)

    read = [follow(str(deep).splitlines(), row) for _, row in features.iterrows()]
    assert np.mean(read == deep.apply(features)) > 0.98  # thresholds are rounded in the text


def test_the_fields_thresholds():
    features = pd.DataFrame(
        {
            "atomic_size_difference": [6.5, 6.7],
            "mixing_enthalpy": [-14.0, 5.5],
            "omega": [1.2, 1.0],
            "valence_electron_concentration": [8.0, 7.0],
        }
    )
    for name, rule in FIELD_RULES.items():
        assert rule(features).tolist() == [True, False], name


def test_what_leaves_nothing_to_learn_is_said(vae, alloys, rules):
    p = vae.predict(alloys)["single_phase"].to_numpy()
    with pytest.raises(DataError, match="leaves no rule"):
        distil(vae, alloys.take(np.flatnonzero((p > 0.5) == (p[0] > 0.5))))
    with pytest.raises(DataError, match="no alloy is labelled"):
        compare_rules(vae, alloys.without_labels(), rules)
