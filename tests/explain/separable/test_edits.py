"""Edits are alloys: rounded, within constraints, predicted, and they say what moved."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import ElementBounds, FeatureBounds, ForbiddenElements, MaxElements
from pyro_hea.errors import ConstraintError, DataError, DesignWarning
from pyro_hea.explain import features_of, separate
from pyro_hea.spec import Separation

OUT_OF_REACH = FeatureBounds("atomic_size_difference", low=11.5)
"""In per cent; no alloy on the ways of the tests has as much."""


@pytest.fixture(scope="module")
def moved(holds_al, without_al):
    return holds_al.move(without_al, "holds Al")


def test_a_move_adds_what_its_cluster_asks_for(holds_al, moved, without_al):
    assert moved.attributes["met"]
    assert moved.attributes["toward"] == "holds Al"
    assert moved.fractions["Al"].item() >= 0.01
    assert moved.table["cluster"].item() == "holds Al"
    assert moved.changes["Al"] == pytest.approx(100 * moved.fractions["Al"].item())
    start = holds_al.ensemble.fractions([without_al]).iloc[0]
    np.testing.assert_allclose(moved.trail[start.index].iloc[0], start)


def test_an_edit_is_rounded_predicted_and_says_how_much_moved(vae, moved):
    alloy = moved.fractions
    assert alloy.sum(axis=1).item() == pytest.approx(1)
    np.testing.assert_allclose((200 * alloy) % 1 % 1, 0, atol=1e-9)  # steps of 0.5 at.%
    row, said = moved.table.iloc[0], vae.predict(alloy).iloc[0]
    for column in ("single_phase", "single_phase_low", "single_phase_high"):
        assert row[column] == pytest.approx(said[column], abs=1e-5)
    assert row["moved"] == pytest.approx(moved.changes.abs().sum() / 2)
    assert row["needed"] <= row["moved"] + 1e-9
    assert moved.changes.sum() == pytest.approx(0)


def test_a_move_of_a_given_length_is_along_the_line_of_the_means(holds_al, without_al):
    latent = holds_al.latent
    start = latent.encode([without_al])
    u = holds_al.u(start.w) + 0.7 * (holds_al.means[1] - holds_al.means[0])
    missed = start.fractions.to_numpy() - latent.decode(start.w, start.y)
    there = np.maximum(latent.decode(holds_al.w(u), start.y) + missed, 0)[0]
    found = holds_al.move(without_al, "holds Al", by=0.7, trim=False)
    expected = np.where(there < 0.01, 0, there)
    off = np.abs(found.fractions.iloc[0] - expected / expected.sum())
    assert off.max() < 0.02  # rounded, and elements below 1 at.% dropped or raised
    assert found.attributes["by"] == 0.7
    p = holds_al.model.log_clusters(u)[0, 1].exp()
    assert found.table["cluster_probability"].item() == pytest.approx(float(p), abs=1e-4)


def test_trimming_undoes_what_the_cluster_does_not_need(holds_al, without_al):
    whole = holds_al.move(without_al, "holds Al", by=1.0, trim=False)
    trimmed = holds_al.move(without_al, "holds Al", by=1.0)
    assert trimmed.table["moved"].item() == pytest.approx(whole.table["needed"].item())
    assert trimmed.table["moved"].item() <= whole.table["moved"].item()
    decoded = trimmed.trail[~trimmed.trail["trimmed"]].iloc[-1]
    elements = whole.fractions.columns
    pd.testing.assert_series_equal(
        decoded[elements].astype(float), whole.fractions.iloc[0], check_names=False
    )
    assert not whole.trail["trimmed"].any()
    assert trimmed.table["cluster"].item() == "holds Al"


def test_edits_keep_constraints(holds_al, without_al):
    absent = [e for e, x in holds_al.ensemble.fractions([without_al]).iloc[0].items() if x == 0]
    forbidden = ForbiddenElements(*[e for e in absent if e != "Al"][:5])
    asked = [ElementBounds("Al", low=0.08), forbidden, MaxElements(5)]
    found = holds_al.move(without_al, "holds Al", constraints=asked)
    alloy = found.fractions.iloc[0]
    assert alloy["Al"] >= 0.08
    assert (alloy[list(forbidden.elements)] == 0).all()
    assert (alloy > 0).sum() <= 5
    with pytest.raises(ConstraintError, match=r"no alloy on the way of .* loosen them"):
        holds_al.move(without_al, "holds Al", constraints=[OUT_OF_REACH])


def test_a_move_that_does_not_arrive_is_said(holds_al, without_al):
    with pytest.warns(DesignWarning, match=f"'{without_al}' does not reach 'holds Al': no alloy"):
        found = holds_al.move(without_al, "holds Al", by=0.5, constraints=[ForbiddenElements("Al")])
    assert not found.attributes["met"]
    assert found.table["cluster"].item() == "no Al"
    assert np.isnan(found.table["needed"].item())


def test_moves_that_ask_for_nothing_are_refused(holds_al, without_al):
    with pytest.raises(DataError, match="is in 'no Al' already; clusters: no Al, holds Al"):
        holds_al.move(without_al, "no Al")
    for by in (0, -1, 11):
        with pytest.raises(DataError, match=f"by={by} is not allowed; it is a share of the way"):
            holds_al.move(without_al, "holds Al", by=by)


def test_a_move_toward_a_class_reaches_it_by_what_all_members_predict(vae, alloys):
    quick = Separation(layers=2, hidden=8, steps=60, drawn=300)
    found = separate(vae, "single_phase", alloys=alloys, spec=quick)
    said = vae.predict(alloys)["single_phase"]
    single = said.index[said > 0.5][0]
    moved = found.move(single, "single_phase = 0", confidence=0.6)
    assert moved.attributes["met"]
    p = vae.predict(moved.fractions)["single_phase"].item()
    assert p < 0.5
    assert moved.table["all_wishes"].item() == pytest.approx(1 - p, abs=1e-5)
    # the same with the clusters in another order
    turned = found.by("single_phase", only=["single_phase = 1", "single_phase = 0"])
    other = turned.move(single, "single_phase = 0", confidence=0.6)
    assert vae.predict(other.fractions)["single_phase"].item() < 0.5


def test_arithmetic_by_nothing_gives_the_alloy_itself(holds_al, new, without_al):
    other = str(new.index[0])
    same = holds_al.arithmetic(without_al, minus=other, plus=other)
    start = holds_al.ensemble.fractions([without_al]).iloc[0]
    np.testing.assert_allclose(same.fractions.iloc[0][start.index], start, atol=0.005)


def test_arithmetic_with_names_of_clusters_is_a_move_by_one(holds_al, without_al):
    moved = holds_al.move(without_al, "holds Al", by=1.0, trim=False)
    made = holds_al.arithmetic(without_al, minus="no Al", plus="holds Al")
    pd.testing.assert_frame_equal(made.fractions, moved.fractions)
    p = holds_al.probabilities([without_al])
    assert p.shape == (1, 2)


def test_arithmetic_keeps_constraints(holds_al, without_al):
    with pytest.raises(ConstraintError, match="becomes misses a constraint; loosen them"):
        holds_al.arithmetic(
            without_al,
            minus="no Al",
            plus="holds Al",
            constraints=[OUT_OF_REACH],
        )


def test_new_alloys_are_in_their_cluster_and_no_training_alloy(holds_al):
    made = holds_al.augment("holds Al", 12)
    assert len(made) == 12
    assert (made.fractions["Al"] >= 0.01).all()
    known = holds_al.ensemble.known.reindex(columns=made.fractions.columns).to_numpy()
    away = np.abs(made.fractions.to_numpy()[:, None] - known).sum(-1).min(1) / 2
    assert away.min() > 0.01
    assert made.fractions.index.is_unique
    assert set(made.table["cluster"]) == {"holds Al"}
    again = holds_al.augment("holds Al", 12)
    pd.testing.assert_frame_equal(again.table, made.table)


def test_fewer_new_alloys_than_were_asked_for_are_said(vae, holds_al):
    def enthalpies(designs):
        return features_of(vae, designs.fractions)["mixing_enthalpy"].sort_values()

    lowest = enthalpies(holds_al.augment("holds Al", 25)).iloc[0]
    rare = [FeatureBounds("mixing_enthalpy", high=lowest)]
    with pytest.warns(DesignWarning, match=r"\d+ of 25 alloys: of 200 that were decoded, no more"):
        made = holds_al.augment("holds Al", 25, constraints=rare)
    assert 0 < len(made) < 25
    assert enthalpies(made).iloc[-1] <= lowest + 1e-6
    with pytest.raises(ConstraintError, match="none of 80 alloys decoded in 'holds Al' is new"):
        holds_al.augment("holds Al", 10, constraints=[OUT_OF_REACH])
