"""A campaign: what it suggests, records, remembers, and gives again after it was saved."""

import gc
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import SMALL

from pyro_hea import AlloyDataset, Campaign, ModelSpec
from pyro_hea.design import MaxElements
from pyro_hea.errors import (
    CheckpointError,
    ConstraintError,
    DataError,
    MissingFileError,
    OutputError,
    UnknownTargetError,
)
from pyro_hea.files import locked
from pyro_hea.inference.checkpoint import hash_of_json
from pyro_hea.materials.alloys.composition import fraction_table

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not", "ignore:.*were found")

TINY = SMALL | {"training": {**SMALL["training"], "epochs": 3, "members": 2}}
WISH = {"single_phase": 1}


@pytest.fixture
def campaign(alloys):
    spec = ModelSpec.from_mapping(TINY)
    return Campaign(alloys, spec, WISH, [MaxElements(5)], seed=3)


@pytest.fixture(scope="module")
def started(alloys, tmp_path_factory):
    """A folder of a campaign with three alloys pending; loading it costs no training."""
    folder = tmp_path_factory.mktemp("campaign") / "c"
    campaign = Campaign(alloys, ModelSpec.from_mapping(TINY), WISH, [MaxElements(5)], seed=3)
    campaign.suggest(3, progress=False)
    campaign.save(folder)
    return folder


def table(tmp_path, **columns):
    pd.DataFrame(columns).to_csv(tmp_path / "lab.csv", index=False)
    return tmp_path / "lab.csv"


def test_what_is_suggested_is_pending(started):
    campaign = Campaign.load(started)
    history = campaign.history
    assert list(history["formula"]) == list(campaign.pending)
    assert len(set(campaign.pending)) == 3
    assert (history["status"] == "pending").all()
    assert (history["round"] == 1).all()
    assert history["all_wishes"].between(0, 1).all()
    assert history["single_phase"].isna().all()
    assert repr(campaign) == "Campaign(round 1; 60 alloys; 3 pending, 0 measured, 0 failed)"


def test_it_gives_the_same_answers_after_it_was_saved(started, tmp_path):
    measured, failed, _ = Campaign.load(started).pending
    campaigns = [Campaign.load(started) for _ in range(2)]
    results = []
    for i, campaign in enumerate(campaigns):
        path = table(tmp_path, formula=[measured, "CoCrNi"], single_phase=[1, 0])
        campaign.record(path, failed=[failed])
        if i:
            campaign.save(tmp_path / "again")
            campaign = Campaign.load(tmp_path / "again")
        results.append((campaign, campaign.suggest(2, progress=False).table))
    (one, first), (other, second) = results
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(one.history, other.history)
    pd.testing.assert_frame_equal(one.data.fractions, other.data.fractions)
    pd.testing.assert_frame_equal(one.data.labels, other.data.labels)


def test_what_is_recorded_is_known_to_the_next_model_and_never_suggested_again(started, tmp_path):
    campaign = Campaign.load(started)
    measured, failed, pending = campaign.pending
    path = table(tmp_path, formula=[measured, "CoCrNi"], single_phase=[1, 0])
    campaign.record(path, failed=[failed])
    history = campaign.history.set_index("formula")
    assert history["status"].to_dict() == {
        measured: "measured",
        failed: "failed",
        pending: "pending",
        "CoCrNi": "measured",
    }
    assert history.loc["CoCrNi", "single_phase"] == 0
    assert np.isnan(history.loc["CoCrNi", "all_wishes"])
    assert history.loc[measured, "all_wishes"] > 0
    designs = campaign.suggest(4, progress=False)
    assert len(campaign.data) == 62
    assert campaign.data.labels["single_phase"].loc["CoCrNi"] == 0
    elements = list(designs.fractions)
    earlier = fraction_table([measured, failed, pending], elements).to_numpy()
    away = np.abs(designs.fractions.to_numpy()[:, None] - earlier).sum(-1).min() / 2
    assert away >= 0.02 - 1e-9
    assert campaign.round == 2
    assert len(campaign.pending) == 5


def test_an_alloy_is_found_however_it_is_written(started, tmp_path):
    campaign = Campaign.load(started)
    formula = campaign.pending[0]
    row = fraction_table([formula]).iloc[0]
    other = "".join(f"{e}{2 * x:.4f}" for e, x in row[row > 0][::-1].items())
    campaign.record(table(tmp_path, formula=[other], single_phase=[1]))
    assert campaign.history["status"].tolist() == ["measured", "pending", "pending"]


def test_new_elements_are_trained_on_anew(started, tmp_path):
    campaign = Campaign.load(started)
    campaign.record(table(tmp_path, formula=["ZrHfTi"], single_phase=[1]))
    campaign.suggest(1, progress=False)
    assert {"Zr", "Hf", "Ti"} <= set(campaign.suggest(1, progress=False).fractions)


def test_what_cannot_be_recorded_changes_nothing(started, tmp_path):
    campaign = Campaign.load(started)
    before = campaign.history
    blank = table(tmp_path, formula=["CoNi"], single_phase=[np.nan])
    for arguments, message in [
        ((), "nothing to record"),
        ((None, ["CoNi"]), "'CoNi' is not pending.*Pending: "),
        ((blank, [before["formula"][0]]), "measures no target"),
    ]:
        with pytest.raises(DataError, match=message):
            campaign.record(*arguments)
        pd.testing.assert_frame_equal(campaign.history, before)


def test_what_cannot_be_a_campaign_is_refused(alloys, campaign):
    spec = ModelSpec.from_mapping(TINY)
    with pytest.raises(ConstraintError, match="needs a wish"):
        Campaign(alloys, spec, {})
    with pytest.raises(UnknownTargetError, match="Did you mean 'single_phase'"):
        Campaign(alloys, spec, {"single_phas": 1})
    with pytest.raises(DataError, match="n=0"):
        campaign.suggest(0)


def test_classes_numbers_and_other_columns_of_the_data_are_kept(alloys_of_kinds, tmp_path):
    reports = alloys_of_kinds.reports.assign(source="lab", test_temperature_C=np.nan)
    data = AlloyDataset.from_reports(alloys_of_kinds.fractions, reports, alloys_of_kinds.targets)
    phase = {"kind": "categorical", "name": "phase", "classes": ["fcc", "bcc", "several"]}
    spec = ModelSpec.from_mapping(TINY | {"targets": [phase]})
    Campaign(data, spec, {"phase": "fcc"}).save(tmp_path / "c")
    loaded = Campaign.load(tmp_path / "c")
    for name in ("fractions", "labels", "reports"):
        pd.testing.assert_frame_equal(getattr(loaded.data, name), getattr(data, name))
    pd.testing.assert_series_equal(loaded.data.parts, data.parts, check_names=False)
    assert loaded.wishes == {"phase": "fcc"}
    assert loaded.spec == spec


class TestFolder:
    def test_wishes_and_constraints_come_back(self, started):
        campaign = Campaign.load(started)
        assert campaign.constraints == (MaxElements(5),)
        assert campaign.wishes == WISH
        assert pd.read_csv(started / "history.csv")["status"].tolist() == ["pending"] * 3
        files = {path.suffix for path in started.rglob("*") if path.is_file()}
        assert files == {".json", ".csv", ".safetensors", ".md"}

    def test_a_save_that_stops_anywhere_leaves_the_state_before_or_after(
        self, started, tmp_path, monkeypatch
    ):
        replace, stop_at = os.replace, 1
        while True:
            campaign = Campaign.load(started)
            campaign.save(tmp_path / str(stop_at))
            campaign.record(failed=[campaign.pending[0]])
            calls = iter(range(1, 100))

            def failing(*args, calls=calls, stop_at=stop_at):
                if next(calls) == stop_at:
                    raise KeyboardInterrupt
                replace(*args)

            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", failing)
                try:
                    campaign.save(tmp_path / str(stop_at))
                    break
                except KeyboardInterrupt:
                    pass
            loaded = Campaign.load(tmp_path / str(stop_at))
            assert len(loaded.failed) in (0, 1)
            loaded.save(tmp_path / str(stop_at))  # and goes on from there
            stop_at += 1
        assert stop_at >= 4
        assert len(Campaign.load(tmp_path / str(stop_at)).failed) == 1

    def test_a_damaged_one_is_refused(self, started, tmp_path):
        with pytest.raises(MissingFileError, match="is no campaign"):
            Campaign.load(tmp_path)
        campaign = Campaign.load(started)
        for damage, message in [
            (lambda m: m | {"schema_version": 9}, "schema version 9"),
            (lambda m: {"schema_version": 1}, "data: Field required"),
            (lambda m: m | {"data_sha256": "0"}, "campaign.json' was changed"),
            (lambda m: [], "no campaign that can be read"),
        ]:
            campaign.save(tmp_path / "c")
            path = tmp_path / "c" / "campaign.json"
            path.write_text(json.dumps(damage(json.loads(path.read_text()))))
            with pytest.raises(CheckpointError, match=message):
                Campaign.load(tmp_path / "c")
        campaign.save(tmp_path / "c")
        (data,) = (tmp_path / "c").glob("data-*.json")
        data.write_text(data.read_text() + " ")
        with pytest.raises(CheckpointError, match="was changed or cut short"):
            Campaign.load(tmp_path / "c")
        data.unlink()
        with pytest.raises(CheckpointError, match="there is no 'data-"):
            Campaign.load(tmp_path / "c")
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write into"):
            campaign.save(tmp_path / "file" / "c")

    def test_a_second_writer_is_told_who_the_first_is(self, started):
        campaign = Campaign.load(started)
        with (
            locked(started, "campaign"),
            pytest.raises(OutputError, match=f"process {os.getpid()} on .* is writing there"),
        ):
            campaign.save(started)

    def test_the_history_is_no_formula_of_a_spreadsheet(self, alloys_of_kinds, tmp_path):
        phase = {"kind": "categorical", "name": "phase", "classes": ["fcc", "bcc", "several"]}
        spec = ModelSpec.from_mapping(TINY | {"targets": [phase]})
        campaign = Campaign(alloys_of_kinds, spec, {"phase": "fcc"})
        campaign.record(pd.DataFrame({"formula": ["CoNi"], "phase": ["fcc"]}))
        campaign._history.loc[0, "phase"] = "=1+1"
        campaign.save(tmp_path)
        assert "'=1+1" in (tmp_path / "history.csv").read_text()

    def test_a_folder_of_the_former_version_is_read(self, started, tmp_path):
        folder = stranger(started, tmp_path)
        manifest = json.loads((folder / "campaign.json").read_text())
        del manifest["manifest_sha256"]
        (folder / "campaign.json").write_text(json.dumps(manifest | {"schema_version": 1}))
        loaded, campaign = Campaign.load(folder), Campaign.load(started)
        pd.testing.assert_frame_equal(loaded.history, campaign.history)


# A stranger, who mends the hashes.


def stranger(started, tmp_path, edit=lambda manifest, data: None):
    """A copy of a campaign with other content and hashes that fit it."""
    folder = tmp_path / "stranger"
    shutil.copytree(started, folder)
    path = folder / "campaign.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    data = json.loads((folder / manifest["data"]).read_text(encoding="utf-8"))
    del manifest["manifest_sha256"]
    edit(manifest, data)
    text = json.dumps(data)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if Path(manifest["data"]).name == manifest["data"]:
        (folder / manifest["data"]).write_text(text)
    manifest["data_sha256"] = digest
    path.write_text(json.dumps(manifest | {"manifest_sha256": hash_of_json(manifest)}))
    return folder


def put(*path, to):
    """An edit at a place of the manifest, or of the data where the path begins with "data"."""

    def edit(manifest, data):
        holder = data if path[0] == "data" else manifest
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = to

    return edit


FRACTIONS, REPORTS = ("data", "fractions"), ("data", "reports")
EDITS = {
    "an unknown key": (put("more", to=1), "unknown key 'more'"),
    "a file elsewhere": (put("model", to="../model-1-0123456789abcdef"), "model"),
    "a round that is none": (put("settings", "round", to=-1), "round"),
    "a round without end": (put("settings", "round", to=10**400), "round"),
    "no wish": (put("settings", "wishes", to={}), "wishes"),
    "a wish for another target": (put("settings", "wishes", to={"x": 1}), "no target 'x'"),
    "constraints that are none": (put("settings", "constraints", to=[1]), "entry 1"),
    "another spec": (put("settings", "spec", "latent", "dim", to=4), "of another spec"),
    "a spec that is none": (put("settings", "spec", to={"x": 1}), "unknown key 'x'"),
    "another status": (put("history", "rows", 0, 2, to="sold"), "neither pending"),
    "no formula": (put("history", "rows", 0, 0, to="<b>"), "cannot be read"),
    "a number for a formula": (put("history", "rows", 0, 0, to=7), "has no formula"),
    "a target more": (put("history", "columns", 4, to="other"), "of other targets"),
    "a row too short": (put("history", "rows", 0, to=["CoNi"]), "no campaign that can be read"),
    "a type that is none": (put("history", "dtypes", 0, to="datetime64[ns]"), "dtypes"),
    "a fraction below zero": (put(*FRACTIONS, "rows", 0, 0, to=-1), "below 0"),
    "a blank fraction": (put(*FRACTIONS, "rows", 0, 0, to=None), "below 0 or missing"),
    "another fraction": (put(*FRACTIONS, "rows", 0, 0, to=0.9), "no formula of the alloy"),
    "no element": (put(*FRACTIONS, "columns", 0, to="Xy"), "unknown elements"),
    "an element twice": (put(*FRACTIONS, "columns", 0, to="Au"), "a column stands twice"),
    "labels of others": (put("data", "labels", "index", 0, to="CoNi"), "of other alloys"),
    "a report of another": (put(*REPORTS, "rows", 0, 0, to="CoNi"), "of none of the alloys"),
    "no values": (put(*REPORTS, "columns", 2, to="worth"), "no formula, target and value"),
    "a part of no split": (
        lambda m, d: d["data"]["parts"].update(dtypes=["object"], rows=[["mine"]] * 60),
        "no part of the published split",
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_campaign_of_a_stranger_that_does_not_fit_is_refused(what, started, tmp_path):
    edit, message = EDITS[what]
    with pytest.raises(CheckpointError, match=message):
        Campaign.load(stranger(started, tmp_path, edit))


def test_a_model_elsewhere_is_not_followed(started, tmp_path):
    folder = stranger(started, tmp_path)
    (model,) = folder.glob("model-*")
    shutil.move(model, tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="link to another folder"):
        Campaign.load(folder)


def test_alloys_without_formulas_cannot_be_saved(alloys, tmp_path):
    named = AlloyDataset(
        alloys.fractions.rename(index={alloys.formulas[0]: "mine"}),
        alloys.labels.rename(index={alloys.formulas[0]: "mine"}),
        alloys.reports,
        alloys.parts,
    )
    campaign = Campaign(named, ModelSpec.from_mapping(TINY), WISH)
    with pytest.raises(DataError, match="'mine' is no formula of its fractions"):
        campaign.save(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_a_week_of_records_leaves_memory_flat(started, tmp_path):
    folder, sizes = tmp_path / "week", []
    shutil.copytree(started, folder)
    for hour in range(7 * 24):
        campaign = Campaign.load(folder)
        measured = {"formula": [f"Co{hour + 1}Ni{200 - hour}Fe7"], "single_phase": [hour % 2]}
        campaign.record(pd.DataFrame(measured))
        campaign.save(folder)
        if hour % 24 == 23:
            gc.collect()
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]))  # pages
    assert len(Campaign.load(folder).history) == 3 + 7 * 24
    assert sizes[-1] < 1.05 * sizes[0]  # after a day everything has been imported and cached
