"""Files of conversations, of which SAT-2 is one."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.evaluation.benchmarks.conftest import Write
from vigorl.evaluation.benchmarks.conversations import ConversationsBenchmark


def test_pictures_are_named_from_the_download(write: Write, picture: Callable[..., str]) -> None:
    path = picture("spatial/images/0.png")
    asked = "<image>\nQuestion: Which?\nAnswer Choices:\nA. it moved\nB. neither"
    said = [
        {"from": "human", "value": asked},
        {"from": "gpt", "value": "it moved in the first frame"},
    ]
    row = {"id": 0, "image": "spatial/images/0.png", "conversations": said}
    root = write("spatial/sat2_test.jsonl", [row])
    (task,) = ConversationsBenchmark(
        name="sat2",
        download="",
        root=str(root),
        file="spatial/sat2_test.jsonl",
        ignored_ending=" in the first frame",
    ).tasks()
    assert (task.images, task.answer) == ((path,), "it moved")
    assert task.is_right("It moved in the first frame.")
