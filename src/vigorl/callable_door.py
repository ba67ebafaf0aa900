"""`vigorl.train` is the module behind `python -m vigorl.train`, and what a program calls: the
modules of such doors can be called, and then do what `vigorl.api` does under their names.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableDoor(ModuleType):
    """A door's module."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._function(*args, **named)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        return vars(import_module("vigorl.api"))[self.__name__.rpartition(".")[2]]


def make_callable(module: str) -> None:
    """What a door's file says of itself, by its `__name__`."""
    sys.modules[module].__class__ = CallableDoor
