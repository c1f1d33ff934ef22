"""The commands around a spec."""

import json
import shutil

import pytest
from click.testing import CliRunner

from pyro_hea.cli import main
from pyro_hea.posterior import graph
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.process import generative_process

FAULTY = """
latnt: {dim: 4}
latent: {dim: 0, prior: {dist: Normal, loc: 0, scale: -1}}
targets:
  hardness:
    {kind: continuous, transform: identity, prior: {dist: Normal, loc: 0, scale: 1}}
"""


def run(*arguments):
    return CliRunner().invoke(main, ["spec", *map(str, arguments)])


def succeeds(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def fails(*arguments, code=1):
    done = run(*arguments)
    assert isinstance(done.exception, SystemExit), repr(done.exception)  # no traceback
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "hea.yaml"
    ModelSpec().with_(latent__dim=4, training__members=2).to_yaml(path)
    return path


class TestInit:
    def test_writes_a_default_that_passes_the_check(self, tmp_path):
        path = tmp_path / "hea.yaml"
        assert f"pyro-hea spec check {path}" in succeeds("init", path)
        assert ModelSpec.from_yaml(path) == ModelSpec()
        assert succeeds("check", path).startswith(f"{path}: ok\n")

    def test_prints_without_a_file(self, tmp_path):
        path = tmp_path / "hea.yaml"
        path.write_text(succeeds("init"), encoding="utf-8")
        assert ModelSpec.from_yaml(path) == ModelSpec()

    def test_begins_with_a_spec_of_the_package(self):
        assert succeeds("init", "--shipped", "default") == succeeds("init")
        assert "Did you mean 'default'? There are" in fails("init", "--shipped", "defualt")

    def test_overwrites_nothing(self, spec):
        before = spec.read_bytes()
        assert f"'{spec}' exists already; name another file" in fails("init", spec)
        assert spec.read_bytes() == before

    def test_says_why_it_cannot_write(self, tmp_path):
        assert "cannot write '" in fails("init", tmp_path / "nowhere" / "hea.yaml")


class TestCheck:
    def test_says_what_was_declared(self, spec):
        assert succeeds("check", spec).splitlines() == [
            f"{spec}: ok",
            "targets: single_phase (binary)",
            "latent: 4 coordinates, Normal",
            "likelihood: multinomial",
            "ensemble: 2 members",
        ]

    def test_says_every_fault(self, tmp_path):
        path = tmp_path / "hea.yaml"
        path.write_text(FAULTY, encoding="utf-8")
        lines = fails("check", path).splitlines()
        assert lines[0].startswith(f"Error: {path}: targets.hardness: `hardness` is positive: ")
        assert lines[1].startswith(f"{path}: latent.dim: ")
        assert lines[2].startswith(f"{path}: latent.prior.scale: must be greater than 0")
        assert lines[3].startswith(
            f"{path}: top level: unknown key 'latnt'. Did you mean 'latent'?"
        )
        assert len(lines) == 4

    def test_a_distribution_of_ones_own_is_for_python_alone(self, tmp_path):
        path = tmp_path / "hea.yaml"
        path.write_text("latent: {prior: {dist: MyOwn, loc: 0}}", encoding="utf-8")
        message = fails("check", path)
        assert "latent.prior.dist: no distribution known here." in message
        assert "which only Python can: the command line runs no code of yours" in message

    def test_missing_file(self, tmp_path):
        assert "nowhere.yaml' does not exist" in fails("check", tmp_path / "nowhere.yaml")


class TestShow:
    def test_prints_the_generative_process(self, spec):
        assert succeeds("show", spec) == f"{generative_process(ModelSpec.from_yaml(spec))}\n"

    def test_draws_the_graph(self, spec, tmp_path):
        pytest.importorskip("graphviz")
        out = tmp_path / "graph.dot"
        assert f"Wrote {out}" in succeeds("show", spec, "--out", out)
        assert "z -> composition" in out.read_text(encoding="utf-8")
        assert "single_phase ~ Bernoulli" in out.read_text(encoding="utf-8")

    def test_the_graph_has_every_target_and_what_it_is_given(self, tmp_path):
        pytest.importorskip("graphviz")
        out, path = tmp_path / "graph.dot", tmp_path / "properties.yaml"
        ModelSpec.shipped("properties").to_yaml(path)
        succeeds("show", path, "--out", out)
        drawn = out.read_text(encoding="utf-8")
        for edge in ("single_phase -> phase", "phase -> hardness", "phase -> yield_strength"):
            assert edge in drawn
        assert "phase ~ Categorical" in drawn

    @pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot")
    def test_draws_a_picture(self, spec, tmp_path):
        pytest.importorskip("graphviz")
        succeeds("show", spec, "--out", tmp_path / "graph.svg")
        assert "<svg" in (tmp_path / "graph.svg").read_text(encoding="utf-8")

    def test_says_what_is_missing_to_draw(self, spec, tmp_path, monkeypatch):
        pytest.importorskip("graphviz")
        monkeypatch.setenv("PATH", str(tmp_path))
        message = fails("show", spec, "--out", tmp_path / "graph.svg")
        assert "the program 'dot' is not installed; install Graphviz" in message

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("graph.docx", "its ending is none of .svg, .pdf, .png, .dot"),
            ("graph", "its ending is none of"),
            ("nowhere/graph.dot", "cannot write"),
        ],
    )
    def test_says_why_it_cannot_draw(self, name, said, spec, tmp_path):
        pytest.importorskip("graphviz")
        assert said in fails("show", spec, "--out", tmp_path / name)

    def test_says_what_to_install_to_draw(self, spec, tmp_path, monkeypatch):
        monkeypatch.setattr(graph, "find_spec", lambda name: None)
        said = fails("show", spec, "--out", tmp_path / "graph.dot")
        assert 'pip install "pyro-hea[graph]"' in said

    def test_refuses_a_faulty_spec(self, tmp_path):
        path = tmp_path / "hea.yaml"
        path.write_text(FAULTY, encoding="utf-8")
        assert "Did you mean 'latent'?" in fails("show", path)


def test_schema_is_that_of_the_spec():
    assert json.loads(succeeds("schema")) == ModelSpec.json_schema()
