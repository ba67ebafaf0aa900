from __future__ import annotations

from vigorl.evaluation.protocol import Protocol
from vigorl.evaluation.protocol_words import told_differences


def test_each_setting_is_told_in_words_with_both_values() -> None:
    before = Protocol("a", {"env": {"limits": {"max_turns": 1}, "tools": []}, "mine": {"x": 1}})
    after = Protocol("a", {"env": {"limits": {"max_turns": 5}}, "mine": {"x": None}})
    assert told_differences(before, after) == [
        "the most turns (env.limits.max_turns): 1 -> 5",
        "the tools (env.tools): [] -> (absent)",
        "a setting (mine.x): 1 -> null",
    ]


def test_long_values_are_cut_to_where_they_differ() -> None:
    texts = [f"{'a' * 80}{middle}{'b' * 80}" for middle in "xy"]
    before, after = (Protocol("a", {"env": {"prompt": {"system": text}}}) for text in texts)
    (line,) = told_differences(before, after)
    assert line == (
        f"the prompt (env.prompt.system): …{'a' * 12}x{'b' * 37}… -> …{'a' * 12}y{'b' * 37}…"
    )


def test_names_may_hold_dots() -> None:
    before, after = (
        Protocol("a", {"benchmark": {"metrics": {"v1.5": {"by": by}}}}) for by in ("x", "y")
    )
    assert told_differences(before, after) == [
        'what it is quoted by (benchmark.metrics.v1.5.by): "x" -> "y"'
    ]
