"""Which alloy is in which cluster, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import AlloyDataset
from pyro_hea.errors import DataError
from pyro_hea.explain import FAMILIES, separate
from pyro_hea.explain.separable.clusters import read_clusters
from pyro_hea.spec import Separation

QUICK = Separation(layers=2, hidden=8, steps=5, drawn=50)


def named(clusters, alloys) -> list[str]:
    return [clusters.names[c] if c >= 0 else "none" for c in clusters.of(alloys)]


def test_the_family_of_an_alloy_has_the_largest_share_of_its_atoms(vae, many):
    found = read_clusters("family", vae.ensemble, None)
    for formula, family in zip(many.index[:30], named(found, many[:30]), strict=True):
        share = {f: many.loc[formula].reindex(m).sum() for f, m in FAMILIES.items()}
        assert share[family] == max(share.values())


def test_the_principal_element_is_the_largest_fraction(vae, many):
    found = read_clusters("principal_element", vae.ensemble, None)
    assert named(found, many) == many.idxmax(axis=1).tolist()


def test_an_alloy_holds_an_element_from_1_at_pct_on(vae):
    table = pd.DataFrame({"Al": [0.0, 0.009, 0.01, 0.5], "Ni": [1.0, 0.991, 0.99, 0.5]})
    found = read_clusters("holds Al", vae.ensemble, None)
    assert found.of(table).tolist() == [0, 0, 1, 1]


def test_a_target_gives_labels_for_training_and_predictions_for_what_is_decoded(
    vae_of_kinds, alloys_of_kinds
):
    phase = read_clusters("phase", vae_of_kinds.ensemble, None)
    assert named(phase, alloys_of_kinds) == alloys_of_kinds.labels["phase"].tolist()
    assert set(named(phase, alloys_of_kinds.fractions)) == {"none"}  # a bare table has no label
    said = [phase.names[c] for c in phase.rule(alloys_of_kinds.fractions)]
    assert said == vae_of_kinds.predict(alloys_of_kinds.fractions)["phase"].tolist()
    label = read_clusters("single_phase", vae_of_kinds.ensemble, None)
    assert label.of(alloys_of_kinds).tolist() == alloys_of_kinds.labels["single_phase"].tolist()


def test_some_classes_of_a_target_keep_their_labels(vae_of_kinds, alloys_of_kinds):
    phase = read_clusters("phase", vae_of_kinds.ensemble, None).only(["several", "fcc"])
    labels = alloys_of_kinds.labels["phase"]
    assert named(phase, alloys_of_kinds) == labels.where(labels != "bcc", "none").tolist()
    assert phase.values == ("several", "fcc")
    turned = read_clusters("single_phase", vae_of_kinds.ensemble, None).only(
        ["single_phase = 1", "single_phase = 0"]
    )
    assert (
        turned.of(alloys_of_kinds).tolist() == (1 - alloys_of_kinds.labels["single_phase"]).tolist()
    )


def of_routes(fractions: pd.DataFrame, values: list[str | None]) -> AlloyDataset:
    reports = pd.DataFrame(
        {
            "formula": fractions.index,
            "target": "single_phase",
            "value": 1.0,
            "route": values,
        }
    )
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


def test_a_column_of_the_reports_makes_clusters(vae, many):
    routes = ["cast", "sintered", None] * 12
    data = of_routes(many[: len(routes)], routes)
    found = separate(vae, "route", alloys=data, spec=QUICK)
    assert found.names == ("cast", "sintered")
    assert named(found.clusters, data) == [r or "none" for r in routes]
    # nothing but T tells the cluster of a composition that is in no report
    other = found.clusters_of(data.fractions.to_numpy()[:5])
    assert other.tolist() == found.probabilities(data.fractions[:5]).to_numpy().argmax(1).tolist()


def test_lists_of_alloys_are_found_however_they_are_written(vae):
    lists = {"a": ["CoNi", {"Al": 1, "Cu": 1}], "b": ["Ni2Cr2"]}
    found = read_clusters(lists, vae.ensemble, None)
    table = vae.ensemble.fractions(["Ni3Co3", "CuAl", "CrNi", "FeNi"])
    assert named(found, table) == ["a", "a", "b", "none"]


def test_rules_of_your_own(vae, many):
    rules = {"W": lambda x: x["W"] > 0.2, "little W": lambda x: (x["W"] > 0) & (x["W"] <= 0.2)}
    expected = np.select([many["W"] > 0.2, many["W"] > 0], ["W", "little W"], "none")
    assert named(read_clusters(rules, vae.ensemble, None), many) == expected.tolist()


REFUSED = {
    "unknown": ("famly", r"no clusters by 'famly'. Did you mean 'family'\? Give a rule"),
    "element": ("holds Xx", r"no clusters by 'holds Xx'.*'holds Ag'\), a target \(single_phase\)"),
    "one": ({"W": lambda x: x["W"] > 0}, "two clusters at least are told apart, not 1"),
    "overlap": (
        {"W": lambda x: x["W"] > 0, "Nb": lambda x: x["Nb"] > 0},
        r"clusters overlap: \d+ alloys are in more than one, such as '.*' in 'W' and 'Nb'; give",
    ),
    "overlapping lists": (
        {"a": ["CoNi", "CuNi"], "b": ["NiCo"]},
        "clusters overlap: 1 alloys are in more than one, such as 'CoNi' in 'a' and 'b'",
    ),
    "mixed": (
        {"a": ["CoNi"], "W": lambda x: x["W"] > 0},
        "clusters are all rules or all lists of alloys, not some of each",
    ),
    "small": (
        {"W": lambda x: x["W"] > 0.45, "no W": lambda x: x["W"] == 0, "Al": lambda x: x["W"] == 2},
        r"a cluster needs 10 alloys; fewer are in W \(\d\), Al \(0\)\. give more alloys",
    ),
}


@pytest.mark.parametrize(("clusters", "message"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_clusters_is_refused_by_name(vae, many, clusters, message):
    with pytest.raises(DataError, match=message):
        separate(vae, clusters, alloys=many, spec=QUICK)


def test_small_clusters_are_left_out_by_a_list_of_the_others(vae, many):
    with pytest.raises(DataError, match=r"fewer are in light \(\d\)") as caught:
        separate(vae, "family", alloys=many[:100], spec=QUICK)
    only = ["noble", "3d", "refractory"]
    assert f"leave them out: only={only}" in str(caught.value)
    found = separate(vae, "family", alloys=many[:100], only=only, spec=QUICK)
    assert found.names == tuple(only)
    every = read_clusters("family", vae.ensemble, None)
    light = np.array(named(every, many[:100])) == "light"
    assert (np.array(named(found.clusters, many[:100])) == "none").tolist() == light.tolist()


def test_a_number_has_no_clusters(vae_of_kinds):
    with pytest.raises(DataError, match="'hardness' is a number, which has no clusters; give"):
        separate(vae_of_kinds, "hardness")


def test_a_column_that_puts_an_alloy_into_two_clusters_is_refused(vae, many):
    some = many.iloc[[0, 0, 1]]
    reports = pd.DataFrame(
        {
            "formula": some.index,
            "target": "single_phase",
            "value": 1.0,
            "route": ["cast", "sintered", "cast"],
        }
    )
    data = AlloyDataset.from_reports(many[:2], reports, ["single_phase"])
    message = f"the column 'route' puts an alloy into several clusters.*{many.index[0]}"
    with pytest.raises(DataError, match=message):
        separate(vae, "route", alloys=data)


def test_a_column_of_one_value_makes_no_clusters(vae, many):
    with pytest.raises(DataError, match="the column 'route' has 1 values; 2 to 50 make clusters"):
        separate(vae, "route", alloys=of_routes(many, ["cast"] * len(many)))


def test_a_cluster_or_a_member_that_there_is_not_is_named(vae, holds_al, many, without_al):
    with pytest.raises(DataError, match=r"no cluster 'hold Al'.*Did you mean 'holds Al'\?.*no Al"):
        holds_al.move(without_al, "hold Al")
    with pytest.raises(DataError, match="no cluster 'Al'"):
        holds_al.augment("Al", 3)
    with pytest.raises(DataError, match="no cluster 'light'"):
        separate(vae, "holds Al", alloys=many, only=["no Al", "light"])
    with pytest.raises(DataError, match="two clusters at least are told apart, not 1"):
        separate(vae, "holds Al", alloys=many, only=["no Al"])
    with pytest.raises(DataError, match="member"):
        separate(vae, "holds Al", member=7, alloys=many)
