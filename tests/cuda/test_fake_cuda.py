"""The library on a device that behaves like CUDA, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def on_the_device(tests: str, repo_root: Path) -> None:
    command = [sys.executable, "-m", "pytest", HERE / "on_fake_cuda.py", "-q", "-x", "-k", tests]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_fake_device_refuses_and_counts_what_cuda_does(repo_root):
    on_the_device("planted or values_and", repo_root)


@pytest.mark.slow
@pytest.mark.parametrize("tests", ["every_answer", "designs", "resumed", "never_waits"])
def test_the_library_runs_on_it(tests, repo_root):
    on_the_device(tests, repo_root)
