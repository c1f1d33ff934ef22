"""What Tab offers within quotes."""

import subprocess
import sys

import pytest

from pyro_hea import CrystalSpec, ModelSpec, load_alloys, load_crystals
from pyro_hea.completion import complete


@pytest.fixture(scope="module")
def notebook():
    return {
        "spec": ModelSpec.shipped("properties"),
        "crystals": CrystalSpec.shipped("crystals"),
        "alloys": load_alloys().take(slice(0, 5)),
        "x": 3.0,
    }


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ('vae.design({"hardn', ["hardness"]),
        ("vae.design({'yield_strength': ('>', 700), 'acoustic_d", ["acoustic_debye_temperature"]),
        ('alloys.labels["ultim', ["ultimate_strength"]),
        ('vae.scan(x="electronegativity_d', ["electronegativity_difference"]),
        ('ModelSpec.shipped("', ["default", "expert", "properties", "published", "reports"]),
        ("AtlasSpec.shipped('r", ["ring"]),
        ('{"dist": "StudentT', ["StudentT"]),
        ('prior(dist="LogN', ["LogNormal"]),
        ('vae.predict(["CoCrFeNi"]', []),
        ("hardn", []),
        ('x = "no name', []),
    ],
)
def test_names_are_offered_where_a_quote_is_open(notebook, line, offered):
    assert complete(line, notebook) == offered


def test_targets_are_those_of_the_notebook(notebook):
    assert complete('predict(targets="gap', {}) == []
    assert complete('predict(targets="gap', {"table": load_crystals()}) == ["gap"]


def test_tab_in_ipython_completes_the_name():
    program = """
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from pyro_hea import ModelSpec
shell = InteractiveShell()
shell.user_ns["spec"] = ModelSpec.shipped("properties")
shell.extension_manager.load_extension("pyro_hea.completion")
for line in ('vae.design({"yield_st', "spec.targ"):
    with provisionalcompleter():
        print([each.text for each in shell.Completer.completions(line, len(line))])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    names, members = done.stdout.splitlines()[-2:]
    assert names == "['yield_strength']"
    assert "target_names" in members
