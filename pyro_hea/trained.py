"""What the models of alloys and of crystals share: members, a history, methods that ask them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import torch

from pyro_hea.devices import check_torch_settings
from pyro_hea.errors import NotFittedError
from pyro_hea.fitting import history_table
from pyro_hea.posterior import Ensemble
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
from pyro_hea.spec import CrystalSpec, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.inference import EpochRecord

P = ParamSpec("P")
T = TypeVar("T")
Members = TypeVar("Members", Ensemble, CrystalEnsemble)
Spec = TypeVar("Spec", ModelSpec, CrystalSpec)


class TrainedModel(Generic[Spec, Members]):
    """A declaration, and its members once they are trained or loaded."""

    spec: Spec

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._ensemble: Members | None = None
        self._records: list[EpochRecord] = []

    @property
    def ensemble(self) -> Members:
        """The trained members; an error before `fit` or `load`."""
        if self._ensemble is None:
            raise NotFittedError("this model is not trained yet: call fit(...) or load(folder)")
        check_torch_settings()
        return self._ensemble

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch and member.

        Columns `epoch`, `member`, `loss` (training, mean over members, nats per alloy or crystal),
        `validation_elbo_loss` (in the same unit), `validation_log_loss` (nats per label; both NaN
        where the epoch was not evaluated) and `best`, true at the epoch whose weights are kept.
        """
        return history_table(self._records, self.spec.training.members)


def asks(
    workflow: Callable[Concatenate[Any, P], T], of: str = "ensemble"
) -> Callable[Concatenate[Any, P], T]:
    """A method that asks what a model holds once it is trained.

    Parameters
    ----------
    workflow : callable
        Of an ensemble; its other parameters and its docstring are those of the method.
    of : str
        The attribute that holds it.
    """

    @wraps(workflow)
    def method(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False):  # modes are climbed to by gradients
            return workflow(getattr(model, of), *args, **kwargs)

    signature = inspect.signature(workflow)
    first, *others = signature.parameters.values()
    parameters = [first.replace(name="self", annotation=inspect.Parameter.empty), *others]
    vars(method)["__signature__"] = signature.replace(parameters=parameters)  # `inspect` reads it
    method.__doc__ = re.sub(rf" *{first.name} : \w+\n", "", workflow.__doc__ or "", count=1)
    return method
