import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import pyro_hea


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    code = "import sys; before = {*sys.modules}; import pyro_hea; print(*{*sys.modules} - before)"
    loaded = run(sys.executable, "-W", "error", "-c", code, cwd=tmp_path).split()
    assert "pyro_hea" in loaded
    roots = {name.partition(".")[0] for name in loaded}
    assert roots <= {"pyro_hea", *sys.stdlib_module_names}


def test_the_model_loads_nothing_that_a_prediction_need_not_wait_for(tmp_path):
    code = "import sys; import pyro_hea.vae; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code, cwd=tmp_path).split())
    assert "pyro_hea.posterior.predictions" in loaded
    slow = {"arviz", "matplotlib", "sklearn", "scipy.stats", "scipy.optimize", "pymatgen"}
    assert loaded & slow == set()


def test_a_process_that_computes_energies_loads_no_torch(tmp_path):
    code = "import sys, pyro_hea.disorder.energies, pyro_hea.disorder.meam; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code, cwd=tmp_path).split())
    assert "pyro_hea.executors" in loaded
    assert loaded & {"torch", "pyro", "pandas"} == set()


def test_importing_the_package_changes_no_global_state(tmp_path):
    code = """
import decimal, locale, logging, os, random, signal, sys, warnings

def state():
    return [
        os.getcwd(), dict(os.environ), sys.path[:], sys.meta_path[:], sys.excepthook,
        sys.displayhook, random.getstate(), locale.setlocale(locale.LC_ALL), warnings.filters[:],
        warnings.showwarning, logging.root.level, logging.root.handlers[:],
        signal.getsignal(signal.SIGINT), str(decimal.getcontext()),
    ]

before = state()
import pyro_hea
print(state() == before)
"""
    assert run(sys.executable, "-c", code, cwd=tmp_path).strip() == "True"


def test_the_version_is_that_of_the_metadata(repo_root):
    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pyro_hea.__version__ == project["version"]


def test_every_public_name_is_what_its_home_defines():
    for name, home in pyro_hea._HOMES.items():
        assert getattr(pyro_hea, name) is getattr(import_module(f"pyro_hea.{home}"), name)
        assert name in dir(pyro_hea)


def test_type_checkers_see_the_public_names_where_they_are():
    tree = ast.parse(Path(pyro_hea.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"pyro_hea.{home}" for name, home in pyro_hea._HOMES.items()}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pyro_hea' has no attribute 'unobtainium'"):
        _ = pyro_hea.unobtainium


@pytest.mark.slow
def test_an_installed_wheel_finds_its_tables(repo_root, tmp_path):
    source, wheels, target = tmp_path / "source", tmp_path / "wheels", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "setup.cfg", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repo_root / name, source)
    for name in ("pyro_hea", "data"):
        shutil.copytree(
            repo_root / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, source)
    run(sys.executable, *build, cwd=tmp_path)
    (wheel,) = wheels.glob("*.whl")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    run(sys.executable, *install, cwd=tmp_path)

    code = """
import importlib.resources, json, pyro_hea
tables = [str(t) for t in importlib.resources.files("pyro_hea.data").iterdir()]
print(json.dumps([pyro_hea.__file__, pyro_hea.__version__, tables]))
"""
    out = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(target))
    package, version, tables = json.loads(out)
    home = target / "pyro_hea"
    assert Path(package) == home / "__init__.py"
    assert version == pyro_hea.__version__
    assert (home / "py.typed").is_file()
    specs = {spec.name for spec in (repo_root / "pyro_hea" / "spec" / "shipped").glob("*.yaml")}
    assert {spec.name for spec in (home / "spec" / "shipped").iterdir()} == specs
    assert "default.yaml" in specs
    found = {Path(table) for table in tables if table.endswith((".csv", ".csv.xz", ".json"))}
    kept = [t for kind in ("*.csv*", "*.json") for t in (repo_root / "data").glob(kind)]
    assert found == {home / "data" / t.name for t in kept}
    assert home / "data" / "alloys.csv" in found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_one_commit_gives_one_wheel_to_the_byte(repo_root, tmp_path):
    if not (repo_root / ".git").exists():
        pytest.skip("needs the repository")
    digests = set()
    for umask, zone, seed in [(0o022, "UTC", "0"), (0o077, "Asia/Tokyo", "1")]:
        dist = tmp_path / zone.replace("/", "-")
        before = os.umask(umask)
        try:
            # what is installed is not looked at
            made = ("make", "wheel", f"DIST={dist}", "--assume-old=.venv/.extra-test")
            run(*made, cwd=repo_root, TZ=zone, PYTHONHASHSEED=seed)
        finally:
            os.umask(before)
        (wheel,) = dist.glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1
