"""A device that behaves like CUDA, for a PyTorch that has none.

Within `with FakeCuda() as gpu:` a tensor "on cuda" is a wrapper around a CPU tensor, on which its
operations run. What CUDA refuses is refused (tensors of two devices in one operation, NumPy of a
device tensor, a CPU generator), the device has a random state of its own, and `gpu.waits` counts
the lines of the package at which the host would wait for the device. `gpu.kernels` counts
operations that would be launched. Speed, memory and numerics of CUDA are not imitated.

PyTorch counts its devices at the first backward pass and cannot forget one: import this module
first, in a process of its own. It uses private names of PyTorch; tested with 2.13.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.utils.backend_registration as registration
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

SHOWN, HIDDEN = torch.device("cuda", 0), torch.device("privateuseone", 0)
"""The device that a tensor says it is on, and the one that PyTorch has it on."""

_WAIT = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "histc", "linalg_lstsq"),
    *("_linalg_check_errors", "_linalg_eigh", "_linalg_svd"),
}
"""Operations whose result the host has to see."""

_STRICT = {"cat", "stack", "gather", "scatter", "embedding", "lerp", "index_select", "mm", "bmm"}
"""Operations that take not even a scalar of another device."""

_FREE = ("empty", "detach", "alias", "lift", "view", "expand", "t.", "_unsafe_view", "slice")


class _Backend(registration._DummyBackendModule):
    """What the random functions of PyTorch ask of a device."""

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """`torch.cuda.manual_seed_all` is called as well."""

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.cuda.get_rng_state(device)

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.cuda.set_rng_state(state, device)


if not hasattr(torch, "fakecuda"):
    registration._setup_privateuseone_for_python_backend("fakecuda", backend_module=_Backend())
    # which CUDA has as one kernel, and a device without kernels of its own as seven
    _library = torch.library.Library("aten", "IMPL")
    _library.impl(
        "silu_backward",
        lambda gradient, x: FakeCuda.entered.run(
            torch.ops.aten.silu_backward.default, (gradient, x), {}
        ),
        "PrivateUse1",
    )


def _hidden(device: Any) -> Any:
    named = isinstance(device, str) and device.partition(":")[0] == "cuda"
    if named or (isinstance(device, torch.device) and device.type == "cuda"):
        return HIDDEN
    return device


class _Names(TorchFunctionMode):
    """Takes "cuda" in arguments for the hidden device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if "device" in kwargs:
            kwargs["device"] = _hidden(kwargs["device"])
        if func in (torch.Tensor.to, torch.empty):
            args = tuple(_hidden(argument) for argument in args)
        return func(*args, **kwargs)


class DeviceTensor(torch.Tensor):
    """Says that it is on cuda:0 and holds a CPU tensor."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=HIDDEN,
        )
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        assert FakeCuda.entered is not None, "a tensor of the fake device outlived it"
        return FakeCuda.entered.run(func, args, kwargs or {})

    @property
    def device(self):
        return SHOWN

    @property
    def is_cuda(self):
        return True

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, new):
        torch.Tensor.data.__set__(self, new)
        self.held = new.held

    def numpy(self, *, force=False):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def tolist(self):
        return self.detach().cpu().tolist()

    def __repr__(self, **kwargs):
        return f"DeviceTensor({self.held!r})"

    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, context, size, stride):
        return DeviceTensor(inner["held"])

    def __deepcopy__(self, memo):
        copied = DeviceTensor(self.held.detach().clone())
        copied.requires_grad_(self.requires_grad)
        return torch.nn.Parameter(copied, self.requires_grad) if _is_parameter(self) else copied


def _is_parameter(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, torch.nn.Parameter) or getattr(tensor, "_is_param", False)


class FakeCuda(TorchDispatchMode):
    """The device, while it is entered; see the module."""

    entered: FakeCuda | None = None

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.generator = torch.Generator().manual_seed(0)

    def __enter__(self):
        self._stack = ExitStack()
        lifting = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # brings torch.tensor(..., device="cuda") here
        self._stack.callback(torch._C._set_only_lift_cpu_tensors, lifting)
        seed = self.generator.manual_seed
        for name, value in {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "synchronize": lambda device=None: self._wait("synchronize"),
            "get_rng_state": lambda device=None: self.generator.get_state(),
            "set_rng_state": lambda state, device=None: self.generator.set_state(state),
            "manual_seed": seed,
            "manual_seed_all": seed,
        }.items():
            self._stack.enter_context(mock.patch.object(torch.cuda, name, value))
        self._stack.enter_context(
            mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor.to("cuda"))
        )
        self._stack.enter_context(_Names())
        FakeCuda.entered = self
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        FakeCuda.entered = None
        self._stack.close()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.run(func, args, kwargs or {})

    def run(self, func, args, kwargs):
        """One operation: checked, counted, and done on the tensors that are held."""
        flat, form = tree_flatten((args, kwargs))
        tensors = [one for one in flat if isinstance(one, torch.Tensor)]
        ours = [one for one in tensors if isinstance(one, DeviceTensor)]
        device = kwargs.get("device")
        here = bool(ours) if device is None else torch.device(device).type != "cpu"
        if not ours and not here:
            return func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        base = name.rstrip("_")
        if base in ("_to_copy", "copy"):
            source = args[1] if base == "copy" else args[0]
            target = isinstance(args[0], DeviceTensor) if base == "copy" else here
            # from the host, CUDA stages what it sends and goes on, if it is told to
            staged = target and (kwargs.get("non_blocking") or args[2:3] == (True,))
            if isinstance(source, DeviceTensor) != target and not staged:
                self._wait(name)
        else:
            self._refuse(base, args, kwargs, tensors, ours)
            self._count(base, func, args)
        held = [one.held if isinstance(one, DeviceTensor) else one for one in flat]
        held = [torch.device("cpu") if isinstance(one, torch.device) else one for one in held]
        result = self._drawn(func, *tree_unflatten(held, form), here)
        wrappers = {id(one.held): one for one in ours}

        def shown(one):
            if not isinstance(one, torch.Tensor) or not here:
                return wrappers.get(id(one), one) if isinstance(one, torch.Tensor) else one
            return wrappers.get(id(one)) if id(one) in wrappers else DeviceTensor(one)

        return tree_map(shown, result)

    def _drawn(self, func, args, kwargs, here):
        if not here or torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        host = torch.get_rng_state()
        torch.set_rng_state(self.generator.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            self.generator.set_state(torch.get_rng_state())
            torch.set_rng_state(host)

    def _refuse(self, base, args, kwargs, tensors, ours):
        others = [one for one in tensors if not isinstance(one, DeviceTensor)]
        if not ours or not others:
            return
        if base in ("index", "index_put", "_index_put_impl") and isinstance(args[0], DeviceTensor):
            values = [args[2]] if len(args) > 2 else []
            if all(isinstance(one, DeviceTensor) or one.dim() == 0 for one in values):
                self._wait("index with indices of the host")
                return
        elif base not in (*_STRICT, "index", "index_put") and all(o.dim() == 0 for o in others):
            return
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 "
            f"and cpu! (in {base} at {_line()})"
        )

    def _count(self, base, func, args):
        if func.is_view or base.startswith(_FREE):
            return
        self.kernels[base] += 1
        if base in ("index", "index_put", "_index_put_impl"):
            indices = [one for one in args[1] if one is not None]
            if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
                self._wait("index with a mask")
        elif base in _WAIT:
            self._wait(base)

    def _wait(self, operation):
        self.waits[f"{operation} at {_line()}"] += 1


def _line() -> str:
    """The innermost line of the package."""
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if "pyro_hea" in path.parts:
            return f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return "the test"
