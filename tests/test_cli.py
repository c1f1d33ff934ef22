"""The command line, end to end on a tiny table."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from pyro_hea.cli import main
from pyro_hea.errors import (
    ConflictingReportsWarning,
)
from pyro_hea.evaluate.benchmark import comparisons
from pyro_hea.inference import Trainer, checkpoint, distillation
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import read_alloys
from pyro_hea.vae import DisentangledVAE

ELEMENTS = ("Al", "Co", "Cr", "Cu", "Fe", "Mn", "Ni")
VALENCE = {"Al": 3, "Co": 9, "Cr": 6, "Cu": 11, "Fe": 8, "Mn": 7, "Ni": 10}

SPEC = """
latent: {dim: 2, flow: {layers: 2, hidden: 8}}
head: {hidden: [16], dropout: 0.1}
encoder: {hidden: [16]}
decoder: {hidden: [16]}
training:
  members: 2
  epochs: 8
  batch_size: 64
  distillation: {trees: 20, synthetic_alloys: 2000, steps: 100}
"""
"""Two steps an epoch."""


def pyro_hea(*arguments) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeeds(*arguments) -> str:
    done = pyro_hea(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def fails(*arguments, code=1) -> str:
    done = pyro_hea(*arguments)
    assert isinstance(done.exception, SystemExit), repr(done.exception)  # no traceback
    assert done.exit_code == code, done.output
    assert "Error: " in done.output
    return done.output


def contents(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def saved(folder) -> dict[str, bytes]:
    """The model itself; the state of its training is not compared."""
    return {
        name: data
        for name, data in contents(folder).items()
        if name.startswith(("model-", "model."))
    }


def tensors_of(folder, name="model"):
    (path,) = folder.glob(f"{name}-*.safetensors")
    return path


def write_table(path, rows) -> None:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of 130 alloys, an eighth of them unlabelled, and a spec."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    rows = ["formula,single_phase"]
    for i in range(130):
        n = rng.integers(2, 7)
        elements, amounts = sorted(rng.choice(ELEMENTS, n, replace=False)), rng.integers(1, 5, n)
        aluminium = dict(zip(elements, amounts, strict=True)).get("Al", 0) / amounts.sum()
        formula = "".join(f"{e}{a}" for e, a in zip(elements, amounts, strict=True))
        rows.append(f"{formula},{'' if i % 8 == 0 else int(aluminium < 0.15)}")
    write_table(folder / "alloys.csv", rows)
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def train(folder):
    """Train on the table into a folder."""

    def train(out, *more, call=succeeds, data=None, spec=None):
        return call(
            *("train", data or folder / "alloys.csv", "--spec", spec or folder / "spec.yaml"),
            *("--out", out, "--quiet", "--device", "cpu", "--folds", 0, *more),
        )

    return train


@pytest.fixture(scope="module")
def model(folder, train):
    train(folder / "model")
    return folder / "model"


@pytest.fixture
def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copied")


@pytest.fixture
def nowhere(tmp_path):
    """A folder that cannot be made, not even by root: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


@pytest.fixture
def untrained(monkeypatch):
    """Fail the test if anything is trained."""

    def epoch(trainer):
        pytest.fail("something was trained")

    monkeypatch.setattr(Trainer, "_train_epoch", epoch)


class TestHelp:
    @pytest.mark.parametrize(
        ("command", "about"),
        [
            ([], "Inverse design of alloys"),
            (["run"], "Train on the embedded alloys"),
            (["train"], "Train on a table of alloys"),
            (["predict"], "Predict the targets of alloys"),
            (["design"], "Propose new alloys"),
            (["benchmark"], "fixed protocols"),
            (["benchmark", "published"], "The published split"),
        ],
    )
    def test_says_what_each_command_does(self, command, about):
        assert about in succeeds(*command, "--help")
        assert about in succeeds(*command, "-h")

    @pytest.mark.parametrize("command", ["--help", "--version", "design --help"])
    def test_of_the_entry_point_loads_nothing_heavy(self, command, tmp_path):
        code = f"""
import sys
from importlib.metadata import entry_points

(script,) = entry_points(group="console_scripts", name="pyro-hea")
script.load()({command.split()!r}, standalone_mode=False)
print("modules:", *sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        loaded = {name.partition(".")[0] for name in done.stdout.split("modules:")[1].split()}
        assert "pyro_hea" in loaded
        heavy = {"torch", "pyro", "numpy", "pandas", "arviz", "matplotlib", "sklearn", "pydantic"}
        assert loaded & heavy == set()


class TestTrain:
    def test_saves_a_model_that_can_be_loaded(self, model):
        cards = {"model_card.json", "model_card.md"}
        assert {tensors_of(model).name, "model.json", *cards} <= {*contents(model)}
        assert not [name for name in contents(model) if ".partial" in name]
        vae = DisentangledVAE.load(model)
        assert (vae.ensemble.elements, vae.ensemble.members) == (ELEMENTS, 2)
        assert vae.spec.training.epochs == 8

    def test_says_what_it_read_and_what_it_saved(self, train, tmp_path):
        output = train(tmp_path / "model")
        assert "130 alloys of 7 elements; single_phase: 113 labelled" in output
        saved = "Saved DisentangledVAE(single_phase; 2 members, 119 alloys of 7 elements) to "
        assert f"{saved}{tmp_path}" in output

    def test_shows_its_progress_unless_told_not_to(self, folder, train, tmp_path):
        assert "training" not in train(tmp_path / "quiet")
        output = succeeds(
            *("train", folder / "alloys.csv", "--spec", folder / "spec.yaml"),
            *("--out", tmp_path / "loud", "--device", "cpu", "--folds", 0),
        )
        assert "training" in output
        assert "8/8" in output

    def test_the_same_seed_gives_the_same_bytes(self, train, model, tmp_path):
        train(tmp_path / "again")
        assert saved(tmp_path / "again") == saved(model)

    def test_another_seed_gives_another_model(self, train, model, tmp_path):
        train(tmp_path / "other", "--seed", 1)
        other = tensors_of(tmp_path / "other")
        assert other.read_bytes() != tensors_of(model).read_bytes()

    def test_reads_the_formulas_from_a_column_of_any_name(self, folder, train, tmp_path):
        text = (folder / "alloys.csv").read_text(encoding="utf-8")
        renamed = tmp_path / "renamed.csv"
        renamed.write_text(text.replace("formula", "metal", 1), encoding="utf-8")
        assert "there is no column 'formula'" in train(tmp_path / "m", data=renamed, call=fails)
        assert "Saved" in train(tmp_path / "m", "--formula-column", "metal", data=renamed)

    def test_counts_reports_that_disagree_and_keeps_them(self, folder, train, tmp_path):
        text = (folder / "alloys.csv").read_text(encoding="utf-8")
        more = tmp_path / "more.csv"
        more.write_text(f"{text}CoZn,1\nCo2Zn2,1\nZnCo,0\nAlZn,0\nZnAl,1\n", encoding="utf-8")
        output = train(tmp_path / "model", data=more)
        assert re.search("^Warning: 2 alloys have reports .* 1 ties", output, re.MULTILINE)
        assert "132 alloys of 8 elements; single_phase: 114 labelled" in output
        with pytest.warns(ConflictingReportsWarning):
            alloys = read_alloys(more)
        assert alloys.reports["formula"].value_counts().head(2).tolist() == [3, 2]


class TestBadTables:
    """Nothing is trained, and a model that is in the folder already stays as it is."""

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (["metal,single_phase", "CoNi,1"], "there is no column 'formula'"),
            (["formulas,single_phase", "CoNi,1"], "Did you mean 'formulas'?"),
            (["formula,hardness", "CoNi,100"], "no column of a declared target (single_phase)"),
            (["formula,single_phse", "CoNi,1"], "Did you mean 'single_phse'?"),
            (
                ["formula,single_phase", "CoNi,1", "CoCr,2"],
                "column 'single_phase', row 2: label '2' is not allowed; write 0, 1 or leave it",
            ),
            (["formula,single_phase", "CoNi,maybe"], "row 1: label 'maybe' is not allowed"),
            (["formula,single_phase", "CoNi,-1"], "row 1: label '-1' is not allowed"),
            (["formula,single_phase", "CoNi,NaN"], "row 1: label 'NaN' is not allowed"),
            (["formula,single_phase", "CoNi,0.5"], "row 1: label '0.5' is not allowed"),
            (
                ["formula,single_phase", "CoNi,", "CoCr,"],
                "no alloy is labelled with 'single_phase'",
            ),
            (["formula,single_phase"], "no alloy is labelled with 'single_phase'"),
            (
                ["formula,single_phase", "CoNi,1", "CoCr,1", "CoFe,"],
                "every label of 'single_phase' is 1: one class only cannot be learnt from",
            ),
            (["formula,single_phase", "CoNi,0", "CoCr,1", "CoXx,1"], "Xx"),
            (["formula,single_phase", "CoNi,0", "CoCr-1,1"], "CoCr-1"),
            (["formula,single_phase", "CoNi,0", "Co0Cr0,1"], "Co0Cr0"),
            (["formula,single_phase", "CoNi,0", "conickel,1"], "conickel"),
            (["formula,single_phase", "CoNi,0", ",1"], "missing"),
            (["formula,single_phase", "CoNi,0", "NaN,1"], "NNa"),
            ([""], "cannot be read as a table"),
        ],
    )
    def test_are_refused_with_a_message(self, rows, message, train, copied, tmp_path, untrained):
        before = contents(copied)
        write_table(tmp_path / "bad.csv", rows)
        assert message in train(copied, data=tmp_path / "bad.csv", call=fails)
        assert contents(copied) == before

    def test_one_that_is_not_there_is_named(self, train, tmp_path, untrained):
        output = train(tmp_path / "model", data=tmp_path / "none.csv", call=fails)
        assert f"table '{tmp_path / 'none.csv'}' does not exist" in output
        assert not (tmp_path / "model").exists()

    def test_one_that_is_no_text_is_refused(self, train, tmp_path, untrained):
        (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
        output = train(tmp_path / "model", data=tmp_path / "binary.csv", call=fails)
        assert "cannot be read as a table" in output

    def test_a_parquet_table_needs_its_package(self, train, tmp_path, monkeypatch, untrained):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        monkeypatch.setitem(sys.modules, "fastparquet", None)
        (tmp_path / "alloys.parquet").write_bytes(b"PAR1")
        output = train(tmp_path / "model", data=tmp_path / "alloys.parquet", call=fails)
        assert "pyarrow" in output

    def test_a_row_with_more_cells_than_columns_shifts_nothing(self, train, tmp_path, untrained):
        rows = ["formula,single_phase", "CoNi,1,remark", "CoCr,0,remark"]
        write_table(tmp_path / "long.csv", rows)
        output = train(tmp_path / "model", data=tmp_path / "long.csv", call=fails)
        assert "cannot be read as a table" in output

    @pytest.mark.parametrize("bad", ["label", "formula"])
    def test_rows_are_counted_from_one(self, bad, train, tmp_path, untrained):
        rows = ["formula,single_phase", "CoNi,1", "CoXx,0" if bad == "formula" else "CoCr,7"]
        write_table(tmp_path / "bad.csv", rows)
        output = train(tmp_path / "model", data=tmp_path / "bad.csv", call=fails)
        assert "row 2" in output.lower()


class TestBadSettings:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("training: {epoch: 3}", "unknown key 'epoch'. Did you mean 'epochs'?"),
            ("trainng: {epochs: 3}", "unknown key 'trainng'. Did you mean 'training'?"),
            ("training: {epochs: many}", "epochs: Input should be a valid integer"),
            ("latent: {dim: 3}", "a flow needs an even latent dim"),
            ("[1, 2]", "a spec is a mapping of keys, not list"),
            ("training: {epochs: 3", "not YAML"),
            ("targets: {hardness: {}}", "no column of a declared target (hardness)"),
        ],
    )
    def test_a_faulty_spec_is_refused(self, spec, message, train, tmp_path, untrained):
        (tmp_path / "spec.yaml").write_text(spec, encoding="utf-8")
        assert message in train(tmp_path / "m", spec=tmp_path / "spec.yaml", call=fails)

    def test_a_spec_that_is_not_there_is_named(self, train, tmp_path, untrained):
        output = train(tmp_path / "m", spec=tmp_path / "none.yaml", call=fails)
        assert f"spec file '{tmp_path / 'none.yaml'}' does not exist" in output

    def test_a_folder_that_cannot_be_written_is_refused_before_training(
        self, train, nowhere, untrained
    ):
        assert f"cannot write into '{nowhere}'" in train(nowhere, call=fails)

    def test_a_device_that_does_not_exist_is_named(self, train, tmp_path, untrained):
        output = train(tmp_path / "m", "--device", "abacus", call=fails)
        assert "device 'abacus' cannot be used" in output

    @pytest.mark.parametrize("seed", ["-1", "99999999999999999999", "one"])
    def test_a_seed_that_cannot_be_is_a_usage_error(self, seed, model, train, tmp_path, untrained):
        assert "--seed" in train(tmp_path / "m", "--seed", seed, call=lambda *a: fails(*a, code=2))
        wish = ("design", "--model", model, "--target", "single_phase=1", "--seed", seed)
        assert "--seed" in fails(*wish, code=2)

    @pytest.mark.parametrize("command", [["train"], ["run"], ["predict"], ["design"], ["desing"]])
    def test_missing_arguments_are_usage_errors(self, command):
        assert "Usage: " in fails(*command, code=2)


class TestInterrupt:
    """The table has validation alloys, so that the weights kept and the patience count too."""

    @pytest.fixture
    def interrupt(self, monkeypatch):
        """Press Ctrl-C at a call of a function."""

        def interrupt(place, name, call):
            real, calls = getattr(place, name), []

            def interrupted(*arguments):
                calls.append(name)
                if len(calls) == call:
                    raise KeyboardInterrupt
                return real(*arguments)

            monkeypatch.setattr(place, name, interrupted)

        yield interrupt
        monkeypatch.undo()

    @pytest.mark.parametrize(
        ("name", "call"),
        [
            ("_train_epoch", 1),  # before anything is trained
            ("_train_epoch", 4),
            ("_evaluate", 1),  # after an epoch, before its record
            ("_set_learning_rate", 8),  # between the two steps of the fourth epoch
        ],
    )
    def test_saves_the_state_and_resume_gives_the_same_model(
        self, name, call, interrupt, monkeypatch, train, model, tmp_path
    ):
        interrupt(Trainer, name, call)
        stopped = train(tmp_path / "model", call=pyro_hea)
        monkeypatch.undo()
        assert stopped.exit_code == 130
        assert f"Interrupted; the state is in {tmp_path / 'model'}" in stopped.output
        assert "--resume" in stopped.output
        state = tensors_of(tmp_path / "model", "training")
        assert sorted(contents(tmp_path / "model")) == [state.name, "training.json"]
        train(tmp_path / "model", "--resume")
        assert saved(tmp_path / "model") == saved(model)

    def test_leaves_an_older_model_in_the_folder_as_it_is(self, interrupt, train, copied, model):
        interrupt(Trainer, "_train_epoch", 3)
        assert train(copied, call=pyro_hea).exit_code == 130
        assert saved(copied) == saved(model)

    @pytest.fixture
    def stopped(self, interrupt, monkeypatch, train, tmp_path):
        interrupt(Trainer, "_train_epoch", 3)
        train(tmp_path / "stopped", call=pyro_hea)
        monkeypatch.undo()
        return tmp_path / "stopped"

    def test_resume_with_another_spec_is_refused(self, stopped, train, tmp_path, untrained):
        (tmp_path / "other.yaml").write_text(SPEC.replace("0.1", "0.2"), encoding="utf-8")
        before = contents(stopped)
        output = train(stopped, "--resume", spec=tmp_path / "other.yaml", call=fails)
        assert "was started with another spec" in output
        assert contents(stopped) == before

    def test_resume_with_another_seed_is_refused(self, stopped, train, untrained):
        output = train(stopped, "--resume", "--seed", 1, call=fails)
        assert "was started with another" in output

    @pytest.mark.parametrize("change", ["an alloy more", "an alloy less", "another label"])
    def test_resume_with_another_table_is_refused(
        self, change, folder, stopped, train, tmp_path, untrained
    ):
        rows = (folder / "alloys.csv").read_text(encoding="utf-8").split()
        labelled = next(i for i, row in enumerate(rows) if row.endswith(",1"))
        changed = {
            "an alloy more": [*rows, "AlCo7,0"],
            "an alloy less": [*rows[:labelled], *rows[labelled + 1 :]],
            "another label": [
                f"{row[:-1]}0" if i == labelled else row for i, row in enumerate(rows)
            ],
        }
        write_table(tmp_path / "changed.csv", changed[change])
        output = train(stopped, "--resume", data=tmp_path / "changed.csv", call=fails)
        assert "was started with another data" in output

    def test_resume_without_a_state_starts_anew_and_says_so(self, train, model, tmp_path):
        output = train(tmp_path / "none", "--resume")
        assert re.search("^Warning: .*there is no training to resume", output, re.MULTILINE)
        assert saved(tmp_path / "none") == saved(model)

    def test_an_interrupt_before_anything_is_saved_says_so(self, interrupt, train, tmp_path):
        interrupt(checkpoint, "write", 1)
        stopped = train(tmp_path / "model", call=pyro_hea)
        assert stopped.exit_code == 130
        assert "Interrupted; nothing was saved yet." in stopped.output

    def test_an_interrupt_of_the_distillation_can_be_resumed(
        self, interrupt, monkeypatch, train, model, tmp_path
    ):
        interrupt(distillation, "distillation_loss", 3)
        stopped = train(tmp_path / "model", call=pyro_hea)
        monkeypatch.undo()
        assert f"Interrupted; the state is in {tmp_path / 'model'}" in stopped.output
        train(tmp_path / "model", "--resume")
        assert saved(tmp_path / "model") == saved(model)

    def test_resume_from_a_truncated_state_is_refused(self, stopped, train, untrained):
        path = tensors_of(stopped, "training")
        path.write_bytes(path.read_bytes()[:-10])
        assert "is truncated or was changed" in train(stopped, "--resume", call=fails)


class TestPredict:
    FORMULAS = ("CoCrFeMnNi", "Al0.5CoCrFeNi", "AlNi")
    ENDS = ("", "_sd", "_low", "_high", "_epistemic", "_aleatoric")
    COLUMNS = ("formula", *(f"single_phase{end}" for end in ENDS))

    def test_writes_what_the_model_says_in_the_order_asked(self, model, tmp_path):
        output = succeeds("predict", "--model", model, *self.FORMULAS, "--out", tmp_path / "p.csv")
        assert f"Wrote 3 predictions to {tmp_path / 'p.csv'}" in output
        written = pd.read_csv(tmp_path / "p.csv")
        assert tuple(written) == self.COLUMNS
        assert tuple(written["formula"]) == self.FORMULAS
        expected = DisentangledVAE.load(model).predict(list(self.FORMULAS))
        pd.testing.assert_frame_equal(written.set_index("formula"), expected, rtol=1e-5)
        mean, low, high = (written[f"single_phase{end}"] for end in ("", "_low", "_high"))
        assert ((low > 0) & (low < mean) & (mean < high) & (high < 1)).all()

    def test_refuses_what_is_no_formula_before_a_default_model_is_trained(self, untrained):
        assert "Formula 'model' cannot be read" in fails("predict", "model", "CoCrFeNi")

    def test_reads_a_table_and_writes_the_same_bytes_twice(self, model, tmp_path):
        write_table(tmp_path / "asked.csv", ["alloy,remark", *(f"{f},x" for f in self.FORMULAS)])
        written = []
        for name in ("a.csv", "b.csv"):
            succeeds(
                *("predict", "--model", model, "--table", tmp_path / "asked.csv"),
                *("--formula-column", "alloy", "--out", tmp_path / name),
            )
            written.append((tmp_path / name).read_bytes())
        succeeds("predict", "--model", model, *self.FORMULAS, "--out", tmp_path / "c.csv")
        assert written[0] == written[1] == (tmp_path / "c.csv").read_bytes()

    def test_prints_without_out(self, model):
        lines = succeeds("predict", "--model", model, *self.FORMULAS).splitlines()
        assert lines[-4].split() == list(self.COLUMNS)
        assert [line.split()[0] for line in lines[-3:]] == list(self.FORMULAS)

    def test_answers_for_an_element_that_was_not_trained_on(self, model, tmp_path):
        output = succeeds("predict", "--model", model, "HfZr", "CoNi", "--out", tmp_path / "p.csv")
        assert "Warning: no training alloy holds Hf, Zr" in output
        spread = pd.read_csv(tmp_path / "p.csv")["single_phase_sd"]
        assert spread[0] > spread[1]

    @pytest.mark.parametrize(
        ("formula", "message"),
        [
            ("CoCrXx", "Xx"),
            ("CoCr-1", "CoCr-1"),
            ("Co0Cr0", "Co0Cr0"),
            ("", "missing"),
            ("NaN", "NNa"),
            ("cobalt", "cobalt"),
            ("CoKr", "Kr"),
        ],
    )
    def test_a_faulty_formula_is_named_and_nothing_is_written(
        self, formula, message, model, tmp_path
    ):
        assert message in fails(
            "predict", "--model", model, "CoNi", formula, "--out", tmp_path / "p.csv"
        )
        assert not (tmp_path / "p.csv").exists()

    @pytest.mark.parametrize("arguments", [[], ["CoNi", "--table", "x.csv"]])
    def test_takes_formulas_or_a_table(self, arguments, model):
        output = fails("predict", "--model", model, *arguments, code=2)
        assert "give formulas, or a table with --table, and not both" in output

    def test_a_table_of_nothing_is_refused(self, model, tmp_path):
        write_table(tmp_path / "none.csv", ["formula"])
        assert "no alloy" in fails("predict", "--model", model, "--table", tmp_path / "none.csv")

    def test_a_table_without_the_column_is_refused(self, model, tmp_path):
        write_table(tmp_path / "asked.csv", ["formule", "CoNi"])
        output = fails("predict", "--model", model, "--table", tmp_path / "asked.csv")
        assert "Did you mean 'formule'?" in output

    @pytest.mark.parametrize("where", ["not made", "a file", "a folder"])
    def test_says_why_it_cannot_write(self, where, model, nowhere, tmp_path):
        (tmp_path / "folder.csv").mkdir()
        out = {
            "not made": tmp_path / "none" / "p.csv",
            "a file": nowhere.with_suffix(".csv"),
            "a folder": tmp_path / "folder.csv",
        }
        output = fails("predict", "--model", model, "CoNi", "--out", out[where])
        assert f"cannot write into '{out[where].parent}': " in output
        assert out[where].name in output
        assert "None" not in output


class TestSavedModels:
    def damaged(self, folder, how):
        manifest, tensors = folder / "model.json", tensors_of(folder)
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if how == "truncated tensors":
            tensors.write_bytes(tensors.read_bytes()[:1000])
        elif how == "changed tensors":
            tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x01")
        elif how == "no tensors":
            tensors.unlink()
        elif how == "truncated manifest":
            manifest.write_text(manifest.read_text(encoding="utf-8")[:99], encoding="utf-8")
        elif how == "no manifest":
            manifest.unlink()
        elif how == "another version":
            manifest.write_text(json.dumps(content | {"schema_version": 99}), encoding="utf-8")
        elif how == "other tables":
            manifest.write_text(json.dumps(content | {"tables_sha256": "0"}), encoding="utf-8")
        elif how == "no spec":
            del content["spec"]
            manifest.write_text(json.dumps(content), encoding="utf-8")
        elif how == "nothing":
            shutil.rmtree(folder)

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ("truncated tensors", "is truncated or was changed"),
            ("changed tensors", "is truncated or was changed"),
            ("no tensors", "is no saved model: there is no 'model-"),
            ("truncated manifest", "is no manifest of a model"),
            ("no manifest", "is no saved model: there is no 'model.json' in it"),
            ("another version", "has schema version 99; this release reads 3 to 5"),
            ("other tables", "was changed: its content does not have the hash"),
            ("no spec", "was changed: its content does not have the hash"),
            ("nothing", "is no saved model: there is no 'model.json' in it"),
        ],
    )
    def test_that_are_damaged_are_refused(self, how, message, copied):
        self.damaged(copied, how)
        assert message in fails("predict", "--model", copied, "CoNi")
        assert message in fails("design", "--model", copied, "--target", "single_phase=1")


WISH = ("--target", "single_phase=1")
LIMITS = (
    *("--allow", "Al,Co,Cr,Fe,Ni", "--require", "Fe", "--forbid", "Al"),
    *("--min-elements", 3, "--max-elements", 4, "--max-fraction", 0.5),
    *("--bounds", "Co=0.05:0.2", "--bounds", "Ni=0:0.4"),
    *("--feature", "valence_electron_concentration=7.5:8.5", "-n", 7),
)


@pytest.fixture(scope="module")
def designs(model, folder):
    out = folder / "designs.csv"
    output = succeeds("design", "--model", model, *WISH, *LIMITS, "--out", out)
    assert "Wrote DesignResult(7 alloys from " in output
    return pd.read_csv(out)


@pytest.mark.filterwarnings("ignore:.*less likely than not")
class TestDesign:
    def test_every_constraint_holds_exactly(self, designs):
        x = designs[list(ELEMENTS)].to_numpy()
        fraction = dict(zip(ELEMENTS, x.T, strict=True))
        assert len(designs) == designs["formula"].nunique() == 7
        assert x.sum(1) == pytest.approx(1.0, abs=1e-9)
        assert (x[:, [ELEMENTS.index(e) for e in ("Al", "Cu", "Mn")]] == 0).all()
        assert (fraction["Fe"] >= 0.01).all()
        assert set((x > 0).sum(1)) <= {3, 4}
        assert (x <= 0.5).all()
        assert ((fraction["Co"] >= 0.05) & (fraction["Co"] <= 0.2)).all()
        assert (fraction["Ni"] <= 0.4).all()
        valence = x @ [VALENCE[e] for e in ELEMENTS]
        assert ((valence >= 7.5 - 1e-9) & (valence <= 8.5 + 1e-9)).all()

    def test_are_weighed_in_by_half_a_percent_and_named_by_their_fractions(self, designs):
        x = designs[list(ELEMENTS)]
        assert (200 * x).to_numpy() == pytest.approx((200 * x).round().to_numpy(), abs=1e-9)
        named = fraction_table(designs["formula"].tolist())
        named = named.reindex(columns=list(ELEMENTS), fill_value=0.0).to_numpy()
        assert named == pytest.approx(x.to_numpy(), abs=1e-9)

    def test_are_predicted_as_they_stand_best_first(self, designs, model, tmp_path):
        succeeds("predict", "--model", model, *designs["formula"], "--out", tmp_path / "p.csv")
        again = pd.read_csv(tmp_path / "p.csv")
        pd.testing.assert_frame_equal(designs[list(again)], again, rtol=2e-5)
        assert designs["single_phase"].is_monotonic_decreasing

    def test_novelty_is_the_distance_to_the_known_alloy(self, designs):
        alloys = [*designs["formula"], *designs["known"]]
        x = fraction_table(alloys).to_numpy()
        distance = np.abs(x[:7] - x[7:]).sum(1) / 2
        assert designs["novelty"].to_numpy() == pytest.approx(distance, abs=1e-4)

    def test_the_same_seed_gives_the_same_bytes(self, designs, model, folder, tmp_path):
        for seed, name in ((0, "a.csv"), (1, "b.csv")):
            succeeds(
                *("design", "--model", model, *WISH, *LIMITS),
                *("--seed", seed, "--out", tmp_path / name),
            )
        expected = (folder / "designs.csv").read_bytes()
        assert (tmp_path / "a.csv").read_bytes() == expected
        assert (tmp_path / "b.csv").read_bytes() != expected

    def test_a_wish_for_the_other_class_is_another_design(self, designs, model, tmp_path):
        unwanted = ("--target", "single_phase=0", *LIMITS, "--out", tmp_path / "d.csv")
        succeeds("design", "--model", model, *unwanted)
        other = pd.read_csv(tmp_path / "d.csv")["single_phase"]
        assert other.is_monotonic_increasing
        assert other.mean() < designs["single_phase"].mean()

    def test_prints_without_out_and_needs_no_constraint(self, model):
        output = succeeds("design", "--model", model, *WISH, "-n", 3)
        assert "DesignResult(3 alloys from" in output
        assert output.splitlines()[-4].split()[0] == "formula"

    def test_says_when_it_finds_fewer_than_asked_for(self, model, tmp_path):
        out = tmp_path / "d.csv"
        few = ("--allow", "Co,Ni", "--max-elements", 1, "-n", 5, "--out", out)
        output = succeeds("design", "--model", model, *WISH, *few)
        assert "Warning: 2 of 5 designs were found" in output
        assert sorted(pd.read_csv(out)["formula"]) == ["Co", "Ni"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--target", "single_phas=1"], "Did you mean 'single_phase'?"),
            (["--target", "single_phase=2"], "target 'single_phase' is 0 or 1, not 2"),
            (["--target", "single_phase=yes"], "target 'single_phase' is 0 or 1, not 'yes'"),
            ([*WISH, "--allow", "Al,Zr"], "no training alloy holds 'Zr'"),
            ([*WISH, "--allow", ""], "no training alloy holds ''"),
            ([*WISH, "--feature", "mixing_entalpy=-5:5"], "Did you mean 'mixing_enthalpy'?"),
            ([*WISH, "--bounds", "Co=5:20"], "bounds are fractions from 0 to 1, not at.%"),
            ([*WISH, "--bounds", "Co=0.2:0.1"], "the lower bound 0.2 is above"),
            ([*WISH, "--max-fraction", "50"], "the bound is a fraction"),
            ([*WISH, "--max-fraction", "nan"], "the bound is a fraction"),
            ([*WISH, "--max-elements", "0"], "a whole number above 0"),
            ([*WISH, "-n", "0"], "ask for at least one design"),
            ([*WISH, "--agreement", "nan"], "agreement"),
            ([*WISH, "--agreement", "-1"], "agreement"),
            (
                [*WISH, "--allow", "Al,Co", "--require", "Ni", "--max-elements", "3"],
                "no alloy satisfies AllowedElements('Al', 'Co'), RequiredElements('Ni'): ",
            ),
            ([*WISH, "--feature", "mixing_enthalpy=500:600"], "satisfies every constraint"),
        ],
    )
    def test_what_cannot_be_is_refused(self, arguments, message, model, tmp_path):
        assert message in fails("design", "--model", model, *arguments, "--out", tmp_path / "d.csv")
        assert not (tmp_path / "d.csv").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "--target"),
            (["--target", "single_phase"], "write NAME=VALUE"),
            (["--target", "single_phase=0", *WISH], "single_phase"),
            ([*WISH, "--bounds", "Co=0.1"], "write LOW:HIGH, as 0:0.05"),
            ([*WISH, "--bounds", "Co=a:b"], "'a' is no number"),
            ([*WISH, "--max-elements", "few"], "'few' is not a valid integer"),
        ],
    )
    def test_what_cannot_be_read_is_a_usage_error(self, arguments, message, model):
        assert message in fails("design", "--model", model, *arguments, code=2)

    @pytest.mark.parametrize("where", ["not made", "a file"])
    def test_says_why_it_cannot_write(self, where, model, nowhere, tmp_path):
        out = {"not made": tmp_path / "none" / "d.csv", "a file": nowhere.with_suffix(".csv")}[
            where
        ]
        output = fails("design", "--model", model, *WISH, "-n", 2, "--out", out)
        assert f"cannot write into '{out.parent}': " in output
        assert out.name in output
        assert "None" not in output


class TestBenchmark:
    @pytest.mark.slow
    def test_writes_what_it_prints(self, folder, tmp_path, monkeypatch):
        one = partial(comparisons.published_benchmark, baselines=["logistic_regression"])
        monkeypatch.setattr(comparisons, "published_benchmark", one)
        out = tmp_path / "made"
        output = succeeds(
            *("benchmark", "published", "--seeds", 2, "--out", out),
            *("--spec", folder / "spec.yaml", "--device", "cpu", "--quiet"),
        )
        written = json.loads((out / "published.json").read_text(encoding="utf-8"))
        assert {path.name for path in out.iterdir()} == {
            "cache",
            "published.json",
            "published.md",
            "published.png",
        }
        assert (written["protocol"], written["seeds"]) == ("published", 2)
        assert [run["seed"] for run in written["runs"]] == [0, 1]
        assert "Published split, mean over 2 seeds" in output
        lines = [line.strip() for line in output.splitlines()]
        header = next(line for line in lines if line.startswith("measure"))
        assert header.split() == ["measure", "mean"]
        for name, values in written["summary"].items():
            mean, low, high = (f"{values[column]:.3f}" for column in ("mean", "low", "high"))
            told = f" {mean} ({low} to {high})"
            assert sum(line.startswith(f"{name} ") and told in line for line in lines) == 1
        assert written["summary"]["AUC"]["mean"] == pytest.approx(
            np.mean([run["classification"]["all"]["auc"] for run in written["runs"]])
        )

    def test_a_folder_that_cannot_be_written_is_refused_before_training(
        self, folder, nowhere, untrained
    ):
        output = fails(
            *("benchmark", "published", "--seeds", 1, "--out", nowhere),
            *("--spec", folder / "spec.yaml", "--device", "cpu", "--quiet"),
        )
        assert "cannot write into" in output

    @pytest.mark.parametrize("seeds", [0, -1, "five"])
    def test_needs_a_seed(self, seeds, untrained):
        assert "--seeds" in fails("benchmark", "published", "--seeds", seeds, code=2)


class TestRun:
    def test_a_folder_that_cannot_be_written_is_refused_before_training(
        self, folder, nowhere, untrained
    ):
        output = fails("run", "--out", nowhere, "--spec", folder / "spec.yaml", "--quiet")
        assert f"cannot write into '{nowhere}'" in output

    def test_a_spec_for_a_target_that_is_not_embedded_is_refused(self, tmp_path, untrained):
        (tmp_path / "spec.yaml").write_text("targets: {magnetic: {}}", encoding="utf-8")
        output = fails("run", "--out", tmp_path / "r", "--spec", tmp_path / "spec.yaml")
        assert "no alloy is labelled with 'magnetic'" in output
