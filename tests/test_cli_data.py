"""From a spreadsheet of one's own to predictions and designs, on the command line."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::pyro_hea.errors.UnseenElementWarning")

ELEMENTS = ("Al", "Co", "Cr", "Fe", "Ni")
SMALL = [
    *("--set", "training.members=2", "--set", "training.epochs=2", "--set", "latent.dim=2"),
    *("--set", "training.distillation={trees: 4, synthetic_alloys: 50, steps: 5}"),
    *("--set", "head.hidden=[8]", "--set", "encoder.hidden=[8]", "--set", "decoder.hidden=[8]"),
    "--quiet",
]
TRAIN = [*SMALL, "--folds", "0"]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeeds(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def fails(*arguments, code=1):
    done = run(*arguments)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty alloys with hardness, yield strength, phase, and columns that are no targets."""
    path = tmp_path_factory.mktemp("mine") / "mine.csv"
    rows, rng = [], np.random.default_rng(0)
    for i in range(60):
        amounts = rng.integers(1, 9, 5).tolist()
        formula = "".join(f"{e}{a}" for e, a in zip(ELEMENTS, amounts, strict=True))
        hardness = 150 + 80 * amounts[0]
        rows.append(
            {
                "sample": f"S{i}",
                "alloy": formula,
                "HV": hardness,
                "Yield strength (MPa)": 2.5 * hardness if i % 2 else "",
                "phase": "BCC" if amounts[0] > 4 else "FCC",
                "furnace": "vacuum",
            }
        )
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    succeeds("train", table, "--column", "HV=hardness_HV", "--out", folder, *TRAIN)
    return folder


class TestSpecFor:
    def test_prints_a_spec_with_what_each_column_is_used_as(self, table, tmp_path):
        output = succeeds("spec", "for", table, "--column", "HV=hardness_HV")
        targets = yaml.safe_load(output)["targets"]
        assert [*targets] == ["hardness", "yield_strength", "phase"]
        assert targets["hardness"]["unit"] == "HV"
        assert targets["phase"]["classes"] == ["BCC", "FCC"]
        for name in ("sample", "furnace"):
            assert f"\n# {name} " in output
        (tmp_path / "mine.yaml").write_text(output, encoding="utf-8")
        assert ModelSpec.from_yaml(tmp_path / "mine.yaml").target("hardness").transform == "log"

    def test_train_says_what_a_condition_is_called_and_warns_once(self, table, tmp_path):
        mine = tmp_path / "mine.csv"
        rows = pd.read_csv(table).head(30)
        kelvin = np.where(np.arange(len(rows)) % 2, 298.15, 1073.15)
        rows.assign(**{"T (K)": kelvin}).to_csv(mine, index=False)
        output = succeeds("train", mine, "--out", tmp_path / "model", *TRAIN)
        said = r"T \(K\) +condition .* read as test_temperature_C; several values; .* at 25 unless"
        assert re.search(said, output)
        assert output.count("Warning: few labels") == 1

    @pytest.mark.parametrize("joined", [[], ["--with", "embedded"]])
    def test_a_column_that_can_be_no_target_is_ignored_with_the_reason(
        self, joined, table, tmp_path
    ):
        mine = tmp_path / "mine.csv"
        pd.read_csv(table).drop(columns="phase").assign(runs=1).to_csv(mine, index=False)
        done = CliRunner().invoke(main, ["spec", "for", str(mine), *joined])
        assert [*yaml.safe_load(done.stdout)["targets"]] == ["hv", "yield_strength"]
        assert re.search(r"\n# runs +ignored +60 +every value is 1\n", done.stdout)

    def test_writes_it(self, table, tmp_path):
        out = tmp_path / "mine.yaml"
        assert f"Wrote {out}" in succeeds("spec", "for", table, "--out", out)
        assert ModelSpec.from_yaml(out).target_names == ("hv", "yield_strength", "phase")
        assert "exists already" in fails("spec", "for", table, "--out", out)

    def test_takes_some_columns(self, table):
        output = succeeds("spec", "for", table, "--targets", "phase")
        assert [*yaml.safe_load(output)["targets"]] == ["phase"]
        assert "is no measured column" in fails("spec", "for", table, "--targets", "fase")

    def test_joins_the_embedded_alloys(self, table):
        how = ["spec", "for", table, "--targets", "phase", "--with", "embedded"]
        done = CliRunner().invoke(main, [*map(str, how)])
        assert "several" in yaml.safe_load(done.stdout)["targets"]["phase"]["classes"]
        assert "'BCC' as 'bcc'" in done.stderr


class TestTrain:
    def test_without_a_spec_trains_on_what_was_measured_and_says_so(self, table, tmp_path):
        output = succeeds("train", table, "--out", tmp_path / "model", *TRAIN)
        assert "hv              continuous   60" in output
        assert "furnace         ignored      60" in output
        trained = DisentangledVAE.load(tmp_path / "model")
        assert trained.spec.target_names == ("hv", "yield_strength", "phase")
        assert (trained.spec.training.members, trained.spec.latent.dim) == (2, 2)

    def test_a_spec_names_its_targets_itself(self, table, tmp_path):
        spec = tmp_path / "spec.yaml"
        spec.write_text("targets: {phase: {kind: categorical, classes: [BCC, FCC]}}")
        how = ["--spec", spec, "--out", tmp_path / "model", *TRAIN]
        assert "phase: 60 labelled" in succeeds("train", table, *how)
        assert "exclude each other" in fails("train", table, *how, "--targets", "phase", code=2)

    def test_a_change_of_an_unknown_key_is_refused(self, table, tmp_path):
        how = ["--out", tmp_path / "model", "--set", "training.epoch=3"]
        assert "Did you mean 'epochs'?" in fails("train", table, *how)


class TestWithoutAModel:
    def test_the_default_model_answers(self, model, monkeypatch):
        vae = DisentangledVAE.load(model)
        asked = []

        def default(cls, spec=None):
            asked.append(spec)
            return vae

        monkeypatch.setattr(DisentangledVAE, "default", classmethod(default))
        assert "CoCrNi" in succeeds("predict", "CoCrNi")
        wish = ["--target", "hardness>300", "--min-elements", 3, "-n", 2]
        assert "hardness" in succeeds("design", *wish)
        assert asked[0] is None
        assert asked[1].target_names == ("hardness",)  # which the default spec has not


def test_train_says_how_good_the_model_is_on_alloys_held_out(table, tmp_path):
    how = ["--targets", "phase", "--out", tmp_path / "model"]
    output = succeeds("train", table, *how, *SMALL, "--folds", 2)
    assert "Held-out alloys, 2 random folds" in output
    assert "log_loss" in output
    assert "There is no cross-validation: 40 folds need" in succeeds(
        "train", table, "--targets", "yield_strength", "--out", tmp_path / "other", *SMALL,
        "--folds", 40,
    )  # fmt: skip


class TestOut:
    def test_excel(self, model, tmp_path):
        out = tmp_path / "p.xlsx"
        pytest.importorskip("openpyxl")
        succeeds("predict", "--model", model, "CoCrNi", "AlNi", "--out", out)
        written = pd.read_excel(out)
        assert written["formula"].tolist() == ["CoCrNi", "AlNi"]
        assert written["hardness"].notna().all()

    def test_parquet(self, model, tmp_path):
        pytest.importorskip("pyarrow")
        succeeds("predict", "--model", model, "CoCrNi", "--out", tmp_path / "p.parquet")
        assert "hardness" in pd.read_parquet(tmp_path / "p.parquet")

    @pytest.mark.parametrize("name", ["p.xls", "p.txt", "p", "p.json"])
    @pytest.mark.parametrize("command", ["predict", "design", "screen"])
    def test_another_format_is_refused_before_anything_is_computed(self, name, command, tmp_path):
        how = ["CoNi"] if command == "predict" else ["--target", "phase=BCC"]
        output = fails(command, *how, "--model", "nowhere", "--out", tmp_path / name, code=2)
        assert "tables are written as .csv, .xlsx, .parquet" in output


class TestQuestions:
    @pytest.fixture
    def asked(self, monkeypatch):
        """What the commands ask the model."""
        asked = {}

        class Stub:
            spec = ModelSpec()

            def predict(self, alloys, **how):
                asked.update(how, alloys=alloys)
                return pd.DataFrame({"a": [1.0]}, index=pd.Index(["CoNi"], name="formula"))

            def design(self, wishes, constraints, **how):
                asked.update(how, wishes=wishes)
                raise KeyboardInterrupt

            screen = design

        monkeypatch.setattr(DisentangledVAE, "default", classmethod(lambda cls, spec=None: Stub()))
        return asked

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("800", 800.0),
            ("25,800", [25.0, 800.0]),
            ("25:1000", (25.0, 1000.0)),
            ("as-cast", "as-cast"),
            ("as-cast,annealed", ["as-cast", "annealed"]),
        ],
    )
    def test_conditions(self, asked, text, value):
        succeeds("predict", "CoNi", "--condition", f"at={text}", "--condition", "other=1")
        assert asked["conditions"] == {"at": value, "other": 1.0}

    def test_no_condition_asks_for_none(self, asked):
        succeeds("predict", "CoNi")
        assert asked["conditions"] is None

    def test_a_condition_given_twice_or_without_a_name(self, asked):
        twice = fails("predict", "CoNi", "--condition", "a=1", "--condition", "a=2", code=2)
        assert "write its values as a=25,800" in twice
        assert "write NAME=VALUE" in fails("predict", "CoNi", "--condition", "800", code=2)

    @pytest.mark.parametrize("command", ["design", "screen"])
    def test_objectives_and_what_is_asked_of_designs(self, asked, command):
        run(
            *(command, "--target", "hardness=max", "--target", "density=min"),
            *("--target", "a>=5", "--target", "b<=6", "--target", "c=1:2", "--target", "phase=BCC"),
            *("--condition", "test_temperature_C=800", "--min-probability", 0.8),
            *("--tolerance", 0.005),
        )
        assert asked["wishes"] == {
            "hardness": "max",
            "density": "min",
            "a": (">=", 5.0),
            "b": ("<=", 6.0),
            "c": (1.0, 2.0),
            "phase": "BCC",
        }
        assert asked["conditions"] == {"test_temperature_C": 800.0}
        assert (asked["min_probability"], asked["tolerance"]) == (0.8, 0.005)


class TestInterrupt:
    """Ctrl-C ends a command with what is true of it."""

    @pytest.fixture
    def pressed(self, model, monkeypatch):
        def interrupt(*arguments, **options):
            raise KeyboardInterrupt

        for name in ("predict", "screen"):
            monkeypatch.setattr(DisentangledVAE, name, interrupt)
        for place in ("evaluate.cross_validate", "evaluate.benchmark.random"):
            monkeypatch.setattr(f"pyro_hea.{place}", interrupt)
        monkeypatch.setattr("pyro_hea.campaign.Campaign.suggest", interrupt)

    @pytest.mark.parametrize(
        ("command", "options", "said"),
        [
            ("predict", ["CoNi"], "this command cannot be resumed. Start it again"),
            ("screen", ["--target", "hardness=max"], "this command cannot be resumed"),
            (
                "screen",
                ["--target", "hardness=max", "--checkpoint", "kept"],
                "the progress is in kept. The same command continues",
            ),
        ],
    )
    def test_of_an_answer(self, pressed, command, options, said, model):
        assert f"\nInterrupted; {said}" in fails(command, "--model", model, *options, code=130)

    def test_of_a_cross_validation_leaves_the_model(self, pressed, table, tmp_path):
        out = tmp_path / "model"
        output = fails("train", table, "--targets", "phase", "--out", out, *SMALL, code=130)
        assert f"Interrupted; the model in {out} is complete, its cross-validation" in output
        assert DisentangledVAE.load(out).spec.target_names == ("phase",)

    def test_of_a_benchmark_says_where_its_units_are(self, pressed, tmp_path):
        output = fails("benchmark", "random", "--out", tmp_path, "--quiet", code=130)
        assert f"what is finished is in {tmp_path / 'cache'}. The same command" in output

    def test_of_a_suggestion_leaves_the_campaign(self, pressed, table, tmp_path):
        folder = tmp_path / "campaign"
        how = ["--data", table, "--targets", "phase", "--target", "phase=BCC"]
        succeeds("campaign", "init", folder, *how)
        output = fails("campaign", "suggest", folder, code=130)
        assert f"Interrupted; the campaign in {folder} is as it was" in output


class TestCampaign:
    WISH = ("--target", "hardness>300", "--max-elements", 5)

    def test_from_a_table_to_a_second_suggestion(self, table, tmp_path):
        folder, made = tmp_path / "campaign", tmp_path / "made.csv"
        how = ["--data", table, "--column", "HV=hardness_HV", "--targets", "hardness", *SMALL[:-1]]
        how += ["--set", "targets.hardness.calibration=null"]
        started = succeeds("campaign", "init", folder, *how, *self.WISH)
        assert "hardness        continuous   60" in started
        assert f"pyro-hea campaign suggest {folder}" in started
        assert "holds a campaign already" in fails("campaign", "init", folder, *how, *self.WISH)

        out = tmp_path / "next.csv"
        succeeds("campaign", "suggest", folder, "-n", 2, "--out", out, "--quiet")
        first, second = pd.read_csv(out)["formula"]
        pd.DataFrame({"formula": [first], "hardness": [470]}).to_csv(made, index=False)
        recorded = succeeds("campaign", "record", folder, made, "--failed", second)
        assert "0 pending, 1 measured, 1 failed" in recorded
        assert "To make next (round 2)" in succeeds(
            "campaign", "suggest", folder, "-n", 1, "--quiet"
        )

        status = succeeds("campaign", "status", folder)
        assert "round 2" in status
        assert all(word in status for word in (first, second, "pending", "measured", "failed"))
        history = tmp_path / "history.xlsx"
        succeeds("campaign", "status", folder, "--out", history)
        assert len(pd.read_excel(history)) == 3

    def test_a_folder_without_a_campaign(self, tmp_path):
        assert "campaign.json" in fails("campaign", "status", tmp_path)


def test_messages_name_options_and_not_arguments_of_the_library(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("nominal,hardness\nCoCrFeNi,350\nAl,5\n")
    assert "with --formula-column" in fails("train", table, "--out", tmp_path / "model", *TRAIN)
    table.write_text("formula,hardness\nFe-20Cr-10Ni (wt.%),350\nAl,5\n")
    assert "say --unit wt, which" in fails("train", table, "--out", tmp_path / "model", *TRAIN)
