"""Grounded visual reasoning with reinforcement learning.

    import vigorl

    cfg = vigorl.compose("grpo_vstar", "num_phases=5")
    run = vigorl.train(cfg)
    print(vigorl.evaluate(run).accuracy, vigorl.ask(run, "a.png", "Which colour?", ["red", "blue"]))

Nothing is imported until it is asked for; docs/your_data.md and examples/train_from_python.py have
more.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vigorl.core.errors import (
    AlignmentError,
    ConfigError,
    DataError,
    EngineError,
    VigorlError,
)

if TYPE_CHECKING:
    from vigorl.answering import ask as ask
    from vigorl.answering import asker as asker
    from vigorl.api import compose as compose
    from vigorl.api import evaluate as evaluate
    from vigorl.api import open_run as open_run
    from vigorl.api import synthesize as synthesize
    from vigorl.api import train as train

__version__ = "0.1.0"
__all__ = [
    "AlignmentError",
    "ConfigError",
    "DataError",
    "EngineError",
    "VigorlError",
    "ask",
    "asker",
    "compose",
    "evaluate",
    "open_run",
    "synthesize",
    "train",
]

_DOORS = ("evaluate", "synthesize", "train")  # modules that can be called; see `callable_door`


def __getattr__(name: str) -> object:
    if name in _DOORS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        home = "answering" if name in ("ask", "asker") else "api"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
