from __future__ import annotations

from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.stages_file import NAME, StageNote, StagesFile, read_stages


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_stages(tmp_path) is None
    note = StageNote("rl", "GRPO: 2 phases", "sft", "MadeWorld")
    file = StagesFile("run, seed 0", "id", (note,), done=("rl",))
    file.write(tmp_path)
    assert read_stages(tmp_path) == file


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "stages": [{}]}'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match=rf"{NAME}: is cut or damaged .* a resume writes it anew"):
        read_stages(tmp_path)
