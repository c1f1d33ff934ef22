"""The main job on a tiny model: its folder, and that the same seed writes the same."""

import json
import re

import arviz as az
import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea.errors import OutputError
from pyro_hea.evaluate.measures import classification_metrics
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.evaluate.study import DESIGNS, run_study, tables
from pyro_hea.posterior.idata import groups_of
from pyro_hea.vae import DisentangledVAE

SPEC = small_spec(
    16,
    training__epochs=6,
    training__batch_size=512,
    training__distillation={"trees": 20, "synthetic_alloys": 2000, "steps": 100},
)

FIGURES = (
    "Training",
    "ROC",
    "Reliability of the predictions",
    "Predictions of the test alloys",
    "Latent space by phase",
    "Latent space by number of elements",
    "Reconstructed compositions",
    "Designs",
)

PREDICTED = [f"{TARGET}{end}" for end in ("", "_sd", "_low", "_high")]


@pytest.fixture(scope="module")
def studies(tmp_path_factory, few_trees):
    """The main job twice with the same seed."""
    folders = [tmp_path_factory.mktemp("study") / name for name in ("first", "second")]
    done = [run_study(f, spec=SPEC, seed=0, device="cpu", progress=False) for f in folders]
    return list(zip(folders, done, strict=True))


@pytest.fixture(scope="module")
def folder(studies):
    return studies[0][0]


@pytest.fixture(scope="module")
def study(studies):
    return studies[0][1]


@pytest.fixture(scope="module")
def designs(folder):
    return pd.read_csv(folder / "designs.csv")


@pytest.fixture
def idata(folder):
    return az.from_netcdf(str(folder / "posterior.nc"))


def tensors_of(folder) -> list[str]:
    return [f"model/{path.name}" for path in (folder / "model").glob("model-*.safetensors")]


def test_the_folder_holds_what_was_promised_and_nothing_else(folder):
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == [
        "designs.csv",
        "metrics.json",
        *tensors_of(folder),
        "model/model.json",
        "model/model_card.json",
        "model/model_card.md",
        "posterior.nc",
        "predictions.csv",
        "report.html",
    ]


class TestTheSameSeed:
    @pytest.mark.parametrize(
        "name",
        [
            *("predictions.csv", "designs.csv", "metrics.json", "report.html"),
            "model/model.json",  # with the hash of the tensors, of which their file has its name
        ],
    )
    def test_writes_the_same_bytes(self, name, studies):
        first, second = (folder / name for folder, _ in studies)
        assert first.read_bytes() == second.read_bytes()

    def test_draws_the_same_posterior(self, studies):
        first, second = (az.from_netcdf(str(folder / "posterior.nc")) for folder, _ in studies)
        assert list(groups_of(first)) == list(groups_of(second))
        for group in groups_of(first):
            assert first[group].identical(second[group]), group

    def test_prints_the_formulas_of_the_designs(self, study):
        assert tables(study)["Designs"]["formula"].tolist() == study.designs.formulas

    def test_prints_the_same_tables(self, studies):
        first, second = (tables(study) for _, study in studies)
        assert list(first) == list(second)
        for name, table in first.items():
            pd.testing.assert_frame_equal(table, second[name], check_exact=True)


class TestFiles:
    def test_the_model_gives_the_predictions(self, folder):
        written = pd.read_csv(folder / "predictions.csv").set_index("formula")
        again = DisentangledVAE.load(folder / "model").predict(list(written.index))
        assert len(written) == 137
        pd.testing.assert_frame_equal(written[PREDICTED], again[PREDICTED], rtol=1e-5)

    def test_the_metrics_are_those_of_the_predictions(self, folder):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        scored = pd.read_csv(folder / "predictions.csv").dropna()
        expected = classification_metrics(scored[f"{TARGET}_label"], scored[TARGET])
        assert metrics["classification"]["all"] == pytest.approx(expected, rel=1e-4)
        assert (metrics["protocol"], metrics["seed"]) == ("published", 0)
        assert metrics["designs"]["n"] == DESIGNS

    def test_the_metrics_hold_no_time_and_no_place(self, folder):
        text = (folder / "metrics.json").read_text(encoding="utf-8")
        assert "NaN" not in text  # which is no JSON
        assert str(folder.parent) not in text
        assert not re.search(r"seconds|time|created|device", text)

    def test_designs_are_high_entropy_alloys(self, designs, study):
        elements = list(study.run.vae.ensemble.elements)
        x = designs[elements].to_numpy()
        assert len(designs) == designs["formula"].nunique() == DESIGNS
        assert x.sum(1) == pytest.approx(1.0, abs=1e-9)
        assert ((x > 0).sum(1) >= 4).all()
        assert (x <= 0.5 + 1e-9).all()
        assert designs[TARGET].is_monotonic_decreasing
        assert (designs["novelty"] >= 0).all()
        assert set(designs["known"]) <= set(study.run.vae.ensemble.known.index)

    def test_designs_are_judged(self, folder, study, designs):
        judged = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["designs"]
        everything = judged["judge"]["all designs"]
        assert everything["designs"] == DESIGNS
        assert everything["mean prediction"] == pytest.approx(designs[TARGET].mean(), abs=1e-4)
        assert 0 <= everything["judged single phase (%)"] <= 100
        assert list(study.judged.index) == ["all designs", "predicted > 0.9"]


class TestPosterior:
    def test_arviz_opens_it(self, idata, study):
        assert set(groups_of(idata)) >= {
            *("posterior", "posterior_predictive", "prior", "prior_predictive"),
            *("log_likelihood", "observed_data", "constant_data"),
        }
        sizes = dict(idata["posterior"].sizes)
        assert sizes == {"chain": 2, "draw": 25, "alloy": 137, "latent": 2}
        assert list(idata["posterior"]["alloy"].values) == study.run.parts["test"].formulas
        assert idata["posterior"].attrs["inference"] == "variational"

    def test_arviz_sums_it_up(self, idata):
        some = idata["posterior"].isel(alloy=slice(3))
        summary = az.summary(some, var_names=["z"], kind="stats")
        assert len(summary) == 3 * 2
        assert np.isfinite(summary.to_numpy()).all()

    def test_its_compositions_are_on_the_simplex_or_counts(self, idata, study):
        observed = idata["observed_data"]["composition"]
        assert observed.sum("element").values == pytest.approx(1.0, abs=1e-5)
        drawn = idata["posterior_predictive"]["composition"].sum("element").values
        assert np.ptp(drawn) == pytest.approx(0.0, abs=1e-4)


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def page(cls, folder):
        return (folder / "report.html").read_text(encoding="utf-8")

    def test_is_self_contained(self, page):
        links = re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']?([^"'\s>]*)""", page)
        assert links
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        without_images = re.sub(r'src="data:[^"]*"', "", page)
        assert not re.search(r"https?:|//|@import|url\(|<script|<link|<iframe", without_images)

    def test_shows_each_figure(self, page):
        images = re.findall(r'<img width="\d+" alt="([^"]*)" src="data:image/png;base64,', page)
        assert len(images) == len(FIGURES)
        for name, alt in zip(FIGURES, images, strict=True):
            assert f">{name}</h3>" in page
            assert alt.startswith(f"{name}: ")

    def test_shows_each_table(self, page, study):
        for name in tables(study):
            assert f">{name}</h3>" in page
        assert page.count("<table>") == len(tables(study))
        for formula in study.designs.formulas:
            assert formula in page


class TestBadPlaces:
    @pytest.fixture
    def untrained(self, monkeypatch):
        def fit(*arguments, **options):
            pytest.fail("something was trained")

        monkeypatch.setattr(DisentangledVAE, "fit", fit)

    def test_a_folder_that_cannot_be_made_fails_before_training(self, tmp_path, untrained):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=r"cannot write into '.*file/run'"):
            run_study(tmp_path / "file" / "run", spec=SPEC, progress=False)
