from __future__ import annotations

from dataclasses import replace

import pytest

from tests import builders
from vigorl.core.errors import DataError
from vigorl.core.geometry import Box
from vigorl.data.checklists import SignChecklist, TaggedChecklist


def test_each_sign_of_a_comparison_is_a_question() -> None:
    task = builders.task(
        id="c",
        question="Compare the stripes on the red disc and the blue square.",
        answer="rising and falling",
        targets=(builders.DISC, Box(0, 0, 8, 8)),
        category="comparison",
    )
    first, second = SignChecklist()(task)
    assert (first.question, first.answer) == ("How do the stripes on the red disc run?", "rising")
    assert (second.answer, second.targets) == ("falling", (Box(0, 0, 8, 8),))
    assert second.answer in second.options
    one = replace(task, category="direct_attributes")
    assert [item.question for item in SignChecklist()(one)] == [one.question]
    assert SignChecklist()(replace(task, category="list")) == []


def test_a_tag_that_cannot_be_read_is_refused() -> None:
    task = builders.task(tags={"checklist": "Red? => yes; Round?"})
    with pytest.raises(DataError, match=r"'question => answer; ...', got 'Round\?'"):
        TaggedChecklist()(task)
