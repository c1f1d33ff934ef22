"""Devices and the state of the process: choice, random state, settings, one thread at a time."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch

from pyro_hea.errors import DataError, TorchSettingsError

_MIB = 2**20

_lock = threading.RLock()


def _renew_lock() -> None:
    """In a forked process, where the thread that held the lock does not exist."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def exclusive() -> Iterator[None]:
    """Let one thread at a time use what the whole process shares.

    That is Pyro's stack of handlers and validation of arguments, the random states of torch, and
    what a model caches. Everything that traces a Pyro program or draws is within it.
    """
    with _lock:
        yield


@contextmanager
def unvalidated() -> Iterator[None]:
    """`exclusive`, without Pyro's validation of arguments, which takes half of the time."""
    with exclusive(), pyro.validation_enabled(False):
        yield


@contextmanager
def forward_derivatives() -> Iterator[None]:
    """`exclusive`, for derivatives in forward mode: a process has one level of them at a time.

    With the first of them torch compiles functions of its own, and warns of how.
    """
    with exclusive(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.")
        yield


def check_torch_settings() -> None:
    """Refuse a default dtype or a default device of torch under which models fail or differ.

    Raises
    ------
    TorchSettingsError
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    if dtype != torch.float32:
        raise TorchSettingsError(
            f"torch's default dtype is {dtype}; models are made and asked in single precision. "
            "Call torch.set_default_dtype(torch.float32) around what you ask of them"
        )
    if device.type != "cpu":
        raise TorchSettingsError(
            f"torch's default device is '{device}'; the device of a model is an argument of fit "
            "and load. Call torch.set_default_device('cpu') around what you ask of them"
        )


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA where there is one.

    Raises
    ------
    DataError
        For a device that cannot be used here.
    TorchSettingsError
        For settings of torch under which models cannot be made.
    """
    check_torch_settings()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"device '{name}' cannot be used: {error}. Use 'auto' or 'cpu'") from None


@contextmanager
def fork_rng() -> Iterator[None]:
    """Leave the random state of the CPU, and of CUDA where it is in use, as it was found."""
    with exclusive(), torch.random.fork_rng(_cuda_in_use()):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed within; the global random state is left as it was found.

    Examples
    --------
    >>> with seeded(0):
    ...     first = torch.rand(1)
    >>> with seeded(0):
    ...     bool(torch.rand(1) == first)
    True
    """
    with fork_rng():
        torch.manual_seed(seed)
        yield


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Random states by name: "rng" of the CPU, and "cuda_rng.0" of a CUDA device."""
    states = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda_rng.0"] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def drawing_with(states: dict[str, torch.Tensor], device: torch.device) -> Iterator[None]:
    """Draw from `random_states`, which go on; the global ones are left as they were found."""
    with fork_rng():
        torch.set_rng_state(states["rng"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda_rng.0"], device)
        yield
        states.update(random_states(device))


def synchronize() -> None:
    """Wait until a CUDA device, where there is one, has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(device: torch.device) -> float:
    """Largest memory of this process so far, or of the CUDA device, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / _MIB
    from resource import RUSAGE_SELF, getrusage  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit / _MIB


def _cuda_in_use() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
