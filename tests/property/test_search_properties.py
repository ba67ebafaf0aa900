"""What holds for every chain of thoughts and every pool of traces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.test_linearize import pool, shares
from vigorl.core.geometry import Size
from vigorl.core.trace import find_points
from vigorl.search.looks import split_looks, split_sentences
from vigorl.search.picking import PickSettings, pick_traces

pieces = st.sampled_from(
    ["(1, 2)", "(3,4)", "(99, 0)", "(-1, 2)", "a", "it's", ".", "!", ",", "\n"]
)
thoughts = st.lists(st.lists(pieces, max_size=12).map(" ".join), max_size=4)
ON = Size(50, 50)


@given(thoughts, st.integers(1, 3))
def test_looks_keep_every_word_in_order_and_never_return(told: list[str], max_looks: int) -> None:
    sentences = [one for thought in told for one in split_sentences(thought)]
    looks, rest = split_looks(sentences, on=ON, max_looks=max_looks)
    kept = " ".join([*(text for text, _ in looks), rest])
    assert "".join(kept.split()) == "".join("".join(told).split())
    points = [point for _, point in looks]
    assert all(point in find_points(text) for text, point in looks)
    on_picture = {p for text in told for p in find_points(text) if p.is_inside(ON)}
    assert len(points) == len(set(points)) == min(max_looks, len(on_picture))


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 6), st.integers(0, 6))),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    st.integers(1, 5),
)
def test_the_share_is_met_within_one_and_no_tree_gives_too_much(
    counts: dict[str, tuple[int, int]], frac: float, limit: int
) -> None:
    settings = PickSettings(max_per_tree=limit, corrected_frac=frac)
    picked = pick_traces(pool(**counts), settings=settings)
    num_corrected = sum(one.is_corrected for one in picked)
    assert abs(num_corrected - frac * len(picked)) < 1
    assert all(sum(numbers) <= limit for numbers in shares(picked).values())
    wanted_both = 0 < frac < 1
    if not wanted_both:
        available = sum(min(limit, numbers[int(frac)]) for numbers in counts.values())
        assert len(picked) == available
