"""What all campaigns have in common: the memory that no case may take."""

import pytest
import torch

from pyro_hea.devices import peak_memory

MIB = 500


@pytest.fixture(autouse=True)
def _bounded_memory():
    """Fail where a test took more than so many MiB above what the process had taken before."""
    before = peak_memory(torch.device("cpu"))
    yield
    assert peak_memory(torch.device("cpu")) - before < MIB
