from __future__ import annotations

from tests.builders import answer_turn, refused_turn, rollout
from vigorl.core.contrast import Contrast, contrasts_of, other_numbers
from vigorl.core.rollout import StopReason


def test_its_numbers_are_found_again_among_those_of_other_probes() -> None:
    lost = Contrast(before=0.75, after=0.25, is_changed=True)
    kept = Contrast(before=0.0, after=0.5, is_changed=False)
    probes = lost.numbers("lost") | {"steadiness": 0.5} | kept.numbers("kept")
    assert probes["lost_drop"] == 0.5
    assert probes["kept_drop"] == -0.5
    assert contrasts_of(probes) == {"lost": lost, "kept": kept}
    assert other_numbers(probes) == {"steadiness": 0.5}


def test_an_answer_changes_with_the_option_not_with_its_wording() -> None:
    red, blue, other = (rollout(answer_turn(words)) for words in ("red", "(B) blue", "other"))
    none = rollout(refused_turn(), stop_reason=StopReason.TURN_LIMIT)
    assert not Contrast.of(red, rollout(answer_turn("(A) Red"))).is_changed
    assert Contrast.of(red, blue) == Contrast(1.0, 0.0, True)
    assert Contrast.of(blue, other).is_changed
    assert Contrast.of(red, none) == Contrast(1.0, 0.0, True)
    assert not Contrast.of(none, none).is_changed
