"""What makes two scores comparable."""

from __future__ import annotations

from vigorl.evaluation.protocol import Protocol, changed_settings

SETTINGS = {"task": {"prompt": {"system": "Point."}, "tools": [{"px": 112}]}, "limit": None}


def test_the_fingerprint_is_of_every_setting_and_of_nothing_else():
    one = Protocol("vstar", SETTINGS)
    reordered = {"limit": None, "task": dict(reversed(SETTINGS["task"].items()))}
    assert Protocol("another", reordered, ("limit",)).fingerprint == one.fingerprint
    assert len(one.fingerprint) == 16
    for other in (
        SETTINGS | {"limit": 3},
        SETTINGS | {"task": {"prompt": {"system": "Point!"}, "tools": [{"px": 112}]}},
        SETTINGS | {"task": {"prompt": {"system": "Point."}, "tools": [{"px": 56}]}},
    ):
        assert Protocol("vstar", other).fingerprint != one.fingerprint
    assert str(one) == f"vstar {one.fingerprint}"


def test_differences_are_named_by_key():
    other = {"task": {"prompt": {"system": "Point!"}, "tools": [{"px": 112}]}, "seed": 1}
    assert Protocol("a", SETTINGS).differences(Protocol("b", other)) == [
        "limit", "seed", "task.prompt.system",
    ]  # fmt: skip
    assert Protocol("a", SETTINGS).differences(Protocol("b", SETTINGS)) == []


def test_what_ships_otherwise_is_named():
    assert changed_settings(SETTINGS, SETTINGS) == []
    assert changed_settings(SETTINGS | {"limit": 5}, SETTINGS) == ["limit"]
    assert changed_settings({"task": {"step_reply": "Go on."}}, {"task": {}}) == [
        "task", "task.step_reply",
    ]  # fmt: skip


def test_what_is_added_to_the_shipped_settings_is_named() -> None:
    shipped, asked = {"data": {"a": 1}}, {"data": {"a": 1, "option_order": "shuffled"}}
    assert changed_settings(shipped, asked) == ["data.option_order"]
