"""Moments of experiment=stages_tour at which `benchmarks/kills.py at=all` kills it: within each
stage, between them, while a file is written, while a model is handed on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Moment:
    """A call of a function in which the process is killed.

    Attributes:
        name: In words.
        function: Such as "vigorl.stages:Whole.note_done".
        call: Of the whole run, from 1.
        torn: The file that the call writes, of its arguments: its end is not there then. None: the
            call does not happen.
    """

    name: str
    function: str
    call: int = 1
    torn: Callable[..., Path] | None = None

    def kill_there(self) -> None:
        """Lay it into this process."""
        module, _, path = self.function.partition(":")
        *owners, last = path.split(".")
        owner: Any = resolve_name(f"{module}:{'.'.join(owners)}" if owners else module)
        plain, calls = getattr(owner, last), [0]

        @wraps(plain)
        def counted(*args: Any, **settings: Any) -> Any:
            calls[0] += 1
            if calls[0] < self.call:
                return plain(*args, **settings)
            if self.torn is not None:
                plain(*args, **settings)
                file = self.torn(*args)
                os.truncate(file, file.stat().st_size - 9)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        setattr(owner, last, counted)


MOMENTS = (
    Moment("sft, third step", "vigorl.training.sft_module:SFTModule.training_step", 3),
    Moment("sft, its model not wholly written", "vigorl.models.pretrained:save_torch_state_dict", 1,
           lambda weights, folder: folder / "model.safetensors"),
    Moment("sft, its model handed on, its run not ended", "vigorl.train:describe", 1),
    Moment("between sft and collect", "vigorl.stages:Whole.note_done", 1),
    Moment("between collect and dpo, the note on stages half done",
           "vigorl.core.stages_file:StagesFile.write", 3),
    Moment("collect, in a record", "vigorl.rollout.recorder:rollout_to_json", 30),
    Moment("dpo, reading what collect left", "vigorl.training.pairs:recorded_groups", 1),
    Moment("dpo, second step", "vigorl.training.pair_module:PairModule.training_step", 2),
    Moment("own, reading what collect left", "vigorl.training.recorded:OwnAnswers.read", 1),
    Moment("a checkpoint before its digest", "vigorl.callbacks.checkpoint:write_digest", 5),
    Moment("a line of metrics not wholly written",
           "vigorl.callbacks.rollout_logger:append_metrics", 12, lambda path, line: path),
    Moment("rl, its second update",
           "vigorl.training.policy_gradient_module:PolicyGradientModule.training_step", 7),
    Moment("the end, before the run of the whole is told", "vigorl.stages:Whole.__exit__", 1),
)  # fmt: skip
