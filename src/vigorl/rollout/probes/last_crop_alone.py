"""Does the answer follow from the last crop? The question about that picture alone, to be answered
after the thought that the policy had before it saw any crop: without the whole picture, the earlier
crops, and what was said of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.rollout import Rollout
from vigorl.core.trace import IMAGE_SLOT
from vigorl.rollout.environment import Dialog, Environment
from vigorl.rollout.probes.paired import PairedProbe, answer_at_once, ask_anew, has_read_crops


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCropAlone(PairedProbe):
    """Of answered rollouts that were shown a picture by a tool. Places in the answer are read in
    the crop's own frame.
    """

    name: ClassVar = "last_crop_alone"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not has_read_crops(rollout):
            return None
        crop, question = rollout.shown[-1], rollout.task.question
        alone = replace(
            rollout.task, images=(crop.path,), question=question.replace(IMAGE_SLOT, "").strip()
        )
        dialog = ask_anew(
            rollout,
            environment=environment,
            group=self.group(rollout),
            prompt_ids=environment.codec.prompt_ids(environment.prompt.messages(alone)),
            views=[crop],
        )
        dialog.restore((), prefix_ids=answer_at_once(rollout, environment))
        return dialog
