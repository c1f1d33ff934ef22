"""Scan, screen, invert, nearest and batch: one result type, rounded compositions, honest trails."""

import inspect
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, logit

from pyro_hea import DisentangledVAE
from pyro_hea.design import (
    AllowedElements,
    ElementBounds,
    ForbiddenElements,
    MaxElements,
    MinElements,
    Novel,
    RequiredElements,
    blocks,
    invert,
    nearest_alloy,
    sample_designs,
    scan_grid,
    scan_path,
    screen,
    screening,
)
from pyro_hea.design.batch import diverse, information
from pyro_hea.design.counterfactual import Change, shortened
from pyro_hea.design.grid import Grid
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import ConstraintError, DataError, UnknownElementError

WISH = {"single_phase": 1}
MULTI = "Al2CoCrFeTi2"


def fractions_of(result, vae):
    return result.table[list(vae.ensemble.elements)].to_numpy()


class TestGrid:
    @pytest.mark.parametrize(
        ("fewest", "units"), [((0,), 5), ((0, 2), 7), ((0, 0, 0), 6), ((1, 0, 2, 0), 9)]
    )
    def test_has_every_composition_once_and_any_block_of_them(self, fewest, units):
        grid = Grid(tuple("ABCD"[: len(fewest)]), fewest, units)
        every = [
            row
            for row in itertools.product(range(units + 1), repeat=len(fewest))
            if sum(row) == units and all(x >= f for x, f in zip(row, fewest, strict=True))
        ]
        assert len(grid) == len(every)
        np.testing.assert_allclose(grid.block(0, 10**6) * units, every, atol=1e-9)
        np.testing.assert_array_equal(grid.block(2, 3), grid.block(0, 10**6)[2:5])


class TestScreen:
    four = (AllowedElements("Al", "Co", "Cr", "Ni"), MinElements(3), Novel(0))

    def test_returns_the_best_of_the_whole_grid(self, vae):
        result = screen(vae.ensemble, WISH, self.four, step=0.1, n=7, progress=False)
        units = [
            row for row in itertools.product(range(11), repeat=4) if sum(row) == 10 and row[0] > 0
        ]
        rows = [row for row in units if np.count_nonzero(row) >= 3]
        rows += [(0, *row) for row in itertools.product(range(1, 11), repeat=3) if sum(row) == 10]
        table = pd.DataFrame(np.array(rows) / 10, columns=["Al", "Co", "Cr", "Ni"])
        best = vae.predict(table)["single_phase"].sort_values(ascending=False)[:7]
        np.testing.assert_allclose(result.table["all_wishes"], best, atol=1e-5)
        assert result.attributes["candidates"] == 286

    def test_a_surrogate_loses_next_to_none_of_the_best_percent(self, vae, monkeypatch):
        monkeypatch.setattr(screening, "_SMALL", 1000)
        monkeypatch.setattr(screening, "_SAMPLE", 3000)
        five = (AllowedElements("Al", "Co", "Cr", "Fe", "Ni"), MinElements(1), Novel(0))
        run = {"step": 0.04, "progress": False}
        two_passes = screen(vae.ensemble, WISH, five, n=237, **run)
        assert two_passes.attributes["predicted"] < 0.5
        assert two_passes.attributes["candidates"] == 23751
        cached_flow = screen(vae.ensemble, WISH, five, n=237, exhaustive=True, **run)
        assert cached_flow.attributes["predicted"] > 0.99
        lost = {*cached_flow.formulas} - {*two_passes.formulas}
        assert len(lost) <= 0.01 * 237

    def test_blocks_change_nothing(self, vae, monkeypatch):
        whole = screen(vae.ensemble, WISH, self.four, step=0.05, n=20, progress=False)
        monkeypatch.setattr(blocks, "BLOCK", 100)
        parts = screen(vae.ensemble, WISH, self.four, step=0.05, n=20, progress=False)
        pd.testing.assert_frame_equal(whole.table, parts.table)

    def test_a_stream_is_ranked(self, vae):
        names = ["CoNi", "AlCoCrFeNi", "CoCrFeNi", "AlTi"]
        result = screen(vae.ensemble, WISH, candidates=iter(names), progress=False)
        best = vae.predict(names)["single_phase"].sort_values(ascending=False)
        assert result.formulas == list(best.index)

    def test_a_grid_that_is_too_large_says_how_large(self, vae):
        with pytest.raises(ConstraintError, match="has 26,075,972,546 compositions"):
            screen(vae.ensemble, WISH, step=0.01, progress=False)

    def test_what_cannot_be_screened_is_named(self, vae):
        with pytest.raises(DataError, match="candidates are many alloys"):
            screen(vae.ensemble, WISH, candidates="CoNi", progress=False)
        with pytest.raises(ConstraintError, match="n=0"):
            screen(vae.ensemble, WISH, n=0)
        with pytest.raises(UnknownElementError, match="Xe"):
            screen(vae.ensemble, WISH, candidates=["CoXe"], progress=False)


class TestScan:
    def test_a_path_ends_where_the_member_reconstructs_the_ends(self, vae):
        ends = ["CoCrFeNi", "AlCoNi"]
        result = scan_path(vae.ensemble, ends, WISH, points=5, member=1)
        assert list(result.trail["t"]) == [0, 0.25, 0.5, 0.75, 1]
        z = result.idata.posterior["z"].to_numpy()[0]
        np.testing.assert_allclose(z[[0, -1]], vae.encode(ends, member=1), atol=2e-3)
        np.testing.assert_allclose(z[2], (z[0] + z[-1]) / 2, atol=1e-5)

    def test_a_grid_varies_two_coordinates(self, vae):
        result = scan_grid(vae.ensemble, WISH, points=3, extent=1.0)
        assert sorted(set(result.trail["z0"])) == [-1, 0, 1]
        assert len(result) == 9

    def test_points_that_fail_a_constraint_are_left_out_and_counted(self, vae):
        result = scan_grid(vae.ensemble, WISH, [MaxElements(5), Novel(0.1)], points=5)
        assert len(result) == result.trail["holds"].sum() < 25
        assert result.table["novelty"].min() >= 0.1
        assert result.attributes["discarded"] == pytest.approx(1 - len(result) / 25)

    @pytest.mark.parametrize(
        "call",
        [
            lambda e: scan_path(e, ["CoNi"], WISH),
            lambda e: scan_path(e, ["CoNi", "CoFe"], WISH, points=1),
            lambda e: scan_grid(e, WISH, axes=(0, 0)),
            lambda e: scan_grid(e, WISH, axes=(0, 7)),
            lambda e: scan_grid(e, WISH, member=-1),
            lambda e: scan_path(e, ["CoNi", "CoFe"], WISH, member=9),
        ],
    )
    def test_what_is_no_path_or_plane_is_refused(self, vae, call):
        with pytest.raises(DataError):
            call(vae.ensemble)


@pytest.mark.parametrize("change", [nearest_alloy, invert])
class TestCounterfactuals:
    def test_lead_from_the_start_to_where_the_ensemble_is_confident(self, vae, change):
        assert vae.predict(MULTI)["single_phase"].item() < 0.5
        result = change(vae.ensemble, MULTI, WISH, confidence=0.7)
        (row,) = result.table.to_dict("records")
        assert row["all_wishes"] >= 0.7
        assert result.trail["cautious"].iloc[-1] >= 0.7
        x = fractions_of(result, vae)
        np.testing.assert_allclose(x * 200, (x * 200).round(), atol=1e-9)
        start = vae.ensemble.fractions([MULTI]).to_numpy()
        moved = np.abs(x - start).sum() / 2
        assert result.attributes["moved"] == pytest.approx(moved)
        assert result.changes.sum() == pytest.approx(0, abs=1e-9)
        assert result.changes.abs().sum() / 200 == pytest.approx(moved)
        trail = result.trail[list(vae.ensemble.elements)].to_numpy()
        np.testing.assert_allclose(trail[0], start[0])
        np.testing.assert_allclose(trail[-1], x[0])

    def test_constraints_hold_at_the_end(self, vae, change):
        wishes = [ForbiddenElements("Ti"), RequiredElements("Al"), ElementBounds("Al", 0.1)]
        x = fractions_of(change(vae.ensemble, MULTI, WISH, wishes, confidence=0.6), vae)[0]
        by = dict(zip(vae.ensemble.elements, x, strict=True))
        assert by["Ti"] == 0
        assert by["Al"] >= 0.1 - 1e-9

    def test_what_cannot_be_reached_is_refused(self, vae, change):
        fixed = [ElementBounds(e, x, x) for e, x in zip(("Al", "Ti"), (0.3, 0.3), strict=True)]
        with pytest.raises(ConstraintError, match="no way was found"):
            change(vae.ensemble, MULTI, WISH, fixed, confidence=0.999)
        with pytest.raises(ConstraintError, match="confidence=1"):
            change(vae.ensemble, MULTI, WISH, confidence=1)
        with pytest.raises(DataError, match="one alloy"):
            change(vae.ensemble, ["CoNi", "CoFe"], WISH)


def test_caution_is_the_most_doubtful_member_and_the_neighbours(vae):
    ensemble, wishes = vae.ensemble, {"single_phase": (1.0,)}
    change = Change.of(ensemble, MULTI, WISH, [], 0.9, 0.005, 0.01)
    known = ensemble.known
    x = (known.iloc[[3]].to_numpy(float) + change.start) / 2
    q = ensemble.head_probabilities(ensemble.batch(known).features)["single_phase"].numpy().mean(0)
    like = known.to_numpy()[q > 0.8]
    away = (np.abs(x - change.start).sum() - np.abs(like - x).sum(1).min()) / 2
    members = fulfilment(ensemble, torch.tensor(x), wishes)
    doubtful = expit(logit(members.min().item()) + 8 * away)
    expected = min(doubtful, members.mean().item())
    assert change.cautious_probability(x)[0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(change.cautious_probability(like), 1)


def test_nearest_moves_no_more_than_the_best_single_exchange(vae):
    """Against every exchange of two elements of an alloy, tried one by one."""
    start = vae.ensemble.fractions([MULTI])
    rows = []
    for a, b in itertools.permutations(start.columns, 2):
        for size in np.arange(0.005, start[a].item() + 1e-9, 0.005):
            row = start.iloc[0].copy()
            row[a] -= size
            row[b] += size
            rows.append(row)
    table = pd.DataFrame(rows).reset_index(drop=True).clip(lower=0)
    present = table.where(table > 1e-9)
    table = table[(present.min(axis=1) >= 0.01)]
    change = Change.of(vae.ensemble, MULTI, WISH, [], 0.9, 0.005, 0.01)
    cautious = change.cautious_probability(table.to_numpy())
    level = float(np.quantile(cautious, 0.9))
    moved = change.distance(table.to_numpy())
    result = nearest_alloy(vae.ensemble, MULTI, WISH, confidence=level)
    assert result.attributes["moved"] <= moved[cautious >= level].min() + 0.01


def test_a_shorter_change_is_still_content(vae):
    change = Change.of(vae.ensemble, MULTI, WISH, [], 0.7, 0.005, 0.01)
    far = change.matching[change.distance(change.matching).argmax()]
    path = np.array(shortened(change, far))
    moved = change.distance(path)
    assert (np.diff(moved) < 0).all()
    assert moved[-1] < moved[0] / 2
    assert (change.shortfall(path[1:]) <= 0).all()


class TestBatch:
    def test_information_is_the_mutual_information(self):
        p = np.array([[0.9, 0.5], [0.3, 0.5], [0.6, 0.5]])
        expected = []
        for column in p.T:
            joint = np.stack([column, 1 - column], 1) / 3
            independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
            expected.append((joint * np.log(joint / independent)).sum())
        np.testing.assert_allclose(information(p), expected, atol=1e-12)

    def test_greedy_choice_is_that_of_the_determinants(self):
        rng = np.random.default_rng(0)
        x, quality = rng.dirichlet(np.ones(4), 12), rng.uniform(0.5, 1, 12)
        distance = np.abs(x[:, None] - x[None]).sum(-1) / 2
        kernel = quality[:, None] * quality[None] * np.exp(-distance / 0.1)
        chosen = []
        for _ in range(5):
            left = [i for i in range(12) if i not in chosen]
            volume = [np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])]) for i in left]
            chosen.append(left[int(np.argmax(volume))])
        assert diverse(x, quality, 5).tolist() == chosen

    def test_a_batch_is_distinct_and_of_the_designs(self, vae):
        designs = vae.design(WISH, n=60, min_probability=0)
        batch = designs.batch(10)
        assert len(batch) == 10
        assert {*batch.formulas} < {*designs.formulas}
        assert batch.idata.posterior.sizes["draw"] == 10

        def spread(result):
            x = fractions_of(result, vae)[:10]
            return np.abs(x[:, None] - x[None]).sum(-1).mean()

        assert spread(batch) > spread(designs)
        with pytest.raises(DataError, match="batch of 61"):
            designs.batch(61)

    def test_parquet_reads_back(self, vae, tmp_path):
        pytest.importorskip("pyarrow")
        designs = vae.design(WISH, n=3, min_probability=0)
        designs.to_parquet(tmp_path / "d.parquet")
        read = pd.read_parquet(tmp_path / "d.parquet").set_index("formula")
        pd.testing.assert_frame_equal(read, designs.table)


@pytest.mark.parametrize(
    ("face", "functions"),
    [
        ("design", [sample_designs]),
        ("screen", [screen]),
        ("scan", [scan_path, scan_grid]),
        ("invert", [invert]),
        ("nearest", [nearest_alloy]),
    ],
)
def test_the_face_has_every_argument_by_name_with_the_same_default(face, functions):
    shown = inspect.signature(getattr(DisentangledVAE, face)).parameters
    assert not any(p.kind == p.VAR_KEYWORD for p in shown.values())
    for function in functions:
        for name, parameter in inspect.signature(function).parameters.items():
            if name != "ensemble":
                assert name in shown
                if name not in ("n", "seed", "points"):  # which have a default on the face
                    assert shown[name].default == parameter.default
