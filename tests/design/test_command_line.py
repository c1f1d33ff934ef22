"""Every constraint of the library from the command line; screening."""

import pandas as pd
import pytest
from click.testing import CliRunner

from pyro_hea.cli import main
from pyro_hea.cli.design import _short_formula
from pyro_hea.errors import DesignWarning
from pyro_hea.evaluate.report import write_designs

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not")


@pytest.fixture(scope="module")
def model(vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vae.save(folder)
    return str(folder)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_every_constraint_can_be_asked_for(model, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("element,price\nAl,2.5\nCo,33\nCr,9\nFe,0.5\nNi,17\nMn,2\n")
    more = tmp_path / "more.yaml"
    more.write_text("- min_elements: 3\n- soft: {constraint: {max_elements: 4}, weight: 1}\n")
    out = tmp_path / "designs.csv"
    wishes = ["--target", "single_phase=1", "--sum", "Al+Ni=0.2:0.6", "--ratio", "Al/Ni=0.2:2"]
    wishes += ["--density", "5:9", "--max-price", 12, "--prices", prices, "--min-novelty", 0.03]
    wishes += ["--near", "AlCrFeNi=0.4", "--constraints", more, "--forbid", "noble,Cu"]
    result = run("design", "--model", model, *wishes, "-n", 12, "--batch", 4, "--out", out)
    assert result.exit_code == 0, result.output
    x = pd.read_csv(out)
    assert len(x) == 4
    assert (x["Al"] + x["Ni"]).between(0.2 - 1e-9, 0.6 + 1e-9).all()
    assert (x["Al"] <= 2 * x["Ni"] + 1e-9).all()
    assert (x["Al"] >= 0.2 * x["Ni"] - 1e-9).all()
    assert (x[["Ti", "Cu"]] == 0).all(axis=None)  # titanium has no price
    assert (x["novelty"] >= 0.03 - 1e-6).all()


def test_fractions_are_as_coarse_and_chains_as_asked_for(model, tmp_path):
    out = tmp_path / "designs.csv"
    wish = ["--target", "single_phase=1", "--step", 0.05, "--min-fraction", 0.1]
    result = run("design", "--model", model, *wish, "-n", 5, "--out", out)
    assert result.exit_code == 0, result.output
    x = pd.read_csv(out).filter(regex="^[A-Z][a-z]?$").to_numpy()
    assert x.shape[1] == 8
    assert (abs(x / 0.05 - (x / 0.05).round()) < 1e-6).all()
    assert x[x > 0].min() >= 0.1 - 1e-9
    assert (
        "'annealing' is not"
        in run("design", "--model", model, *wish, "--method", "annealing").output
    )


def test_a_grid_is_screened(model, tmp_path):
    out = tmp_path / "best.csv"
    wish = ["--target", "single_phase=1", "--allow", "Co,Cr,Ni", "--min-novelty", 0]
    run_of = ["--step", 0.1, "--min-fraction", 0.1, "-n", 5, "--exhaustive", "--quiet"]
    result = run("screen", "--model", model, *wish, *run_of, "--out", out)
    assert result.exit_code == 0, result.output
    assert "5 alloys from 66 candidates" in result.output
    assert pd.read_csv(out)["all_wishes"].is_monotonic_decreasing


def test_a_report_shows_the_designs_and_what_was_asked(model, tmp_path):
    page, out = tmp_path / "designs.html", tmp_path / "designs.csv"
    wish = ["--target", "single_phase=1", "--allow", "Al,Co,Cr,Ni", "-n", 12]
    result = run("design", "--model", model, *wish, "--out", out, "--report", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    for formula in pd.read_csv(out)["formula"]:
        assert formula in text
    assert "AllowedElements(&#x27;Al&#x27;, &#x27;Co&#x27;, &#x27;Cr&#x27;, &#x27;Ni&#x27;)" in text
    assert "To make first" in text
    assert text.count("<figure>") == 2
    assert "all_wishes_low" not in text  # repeats the one wish
    again = tmp_path / "again.html"
    run("design", "--model", model, *wish, "--report", again)
    assert again.read_bytes() == page.read_bytes()


def test_a_report_of_a_screening_and_of_chains_has_their_figures(model, vae, tmp_path):
    page = tmp_path / "screen.html"
    wish = ["--target", "single_phase=1", "--allow", "Co,Cr,Ni", "--min-novelty", 0, "--step", 0.1]
    assert (
        run("screen", "--model", model, *wish, "-n", 5, "--quiet", "--report", page).exit_code == 0
    )
    assert "To make first" not in page.read_text(encoding="utf-8")
    with pytest.warns(DesignWarning):
        designs = vae.design({"single_phase": 1}, n=5, method="nuts", draws=8, warmup=2)
    write_designs(page, designs, wishes={"single_phase": 1})
    text = page.read_text(encoding="utf-8")
    assert "Chains, ranks" in text
    assert text.count("<figure>") == 4


def test_a_page_that_cannot_be_written_is_named(model, tmp_path):
    page = tmp_path / "missing" / "designs.html"
    result = run(
        "design", "--model", model, "--target", "single_phase=1", "-n", 2, "--report", page
    )
    assert result.exit_code == 1
    assert "cannot be written" in result.output


def test_a_table_is_screened(model, tmp_path):
    table = tmp_path / "alloys.csv"
    table.write_text("formula\nCoNi\nAlCoCrFeNi\n")
    result = run(
        "screen", "--model", model, "--target", "single_phase=1", "--candidates", table, "--quiet"
    )
    assert "2 alloys from 2 candidates" in result.output


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Ni", "Ni100"),
        ("Al0.133333CoCr0.666667Fe0.666667NiTi0.333333", "Al3.5Co26Cr18Fe18Ni26Ti8.8"),
    ],
)
def test_known_alloys_are_short_on_the_screen(formula, expected):
    assert _short_formula(formula) == expected


def test_a_table_on_the_screen_repeats_nothing(model):
    result = run("design", "--model", model, "--target", "single_phase=1", "-n", 2)
    assert result.exit_code == 0, result.output
    assert "all_wishes" not in result.output
    table = [line for line in result.output.splitlines() if not line.startswith("Warning: ")]
    assert max(map(len, table)) <= 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-price", 3], "go together"),
        (["--ratio", "Al=1:2"], "is no ratio"),
        (["--near", "CoNi=far"], "is no number"),
        (["--density", "9:5"], "above the upper bound"),
        (["--allow", "refractories"], "holds 'refractories'. Did you mean 'refractory'?"),
    ],
)
def test_what_cannot_be_asked_is_named(model, arguments, message):
    result = run("design", "--model", model, "--target", "single_phase=1", *arguments)
    assert result.exit_code != 0
    assert message in result.output
