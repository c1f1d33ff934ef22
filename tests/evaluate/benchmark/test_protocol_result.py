import json
import sys

import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import OutputError
from pyro_hea.evaluate.benchmark import ProtocolResult
from pyro_hea.plots import interval_panels


@pytest.fixture
def result():
    rows = {"measure": "AUC", "name": ["a", "b"], "mean": [0.8, 0.9], "low": 0.7, "high": 0.95}
    table = pd.DataFrame({"model": ["a", "b"], "AUC": [0.8, np.nan], "n": [3, 4]})
    figure = interval_panels(pd.DataFrame(rows))[0].figure
    return ProtocolResult("made", {"auc": [0.8, 0.9]}, {"Scores": table}, figure)


def test_numbers_tables_and_figure_lie_side_by_side(result, tmp_path):
    result.write(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "made.json").read_text()) == {"auc": [0.8, 0.9]}
    lines = (tmp_path / "new" / "made.md").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["## Scores", ""]
    assert lines[2:] == [
        "| model | AUC | n |",
        "| --- | --- | --- |",
        "| a | 0.800 | 3 |",
        "| b | – | 4 |",
    ]
    assert (tmp_path / "new" / "made.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="made"):
        result.write(tmp_path / "file" / "folder")


def test_the_command_line_offers_every_protocol():
    from pyro_hea.cli.benchmark import PROTOCOLS
    from pyro_hea.evaluate import benchmark

    assert set(PROTOCOLS) == set(benchmark.__all__) - {"ProtocolResult"}
    assert "pyro_hea.evaluate.benchmark" in sys.modules
