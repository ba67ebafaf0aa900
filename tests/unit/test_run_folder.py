from __future__ import annotations

from pathlib import Path

from vigorl.run_folder import remove_unused


def test_a_folder_of_nothing_but_the_runs_own_words_goes(tmp_path: Path) -> None:
    for name, more in (("refused", ()), ("begun", ("answers.jsonl",))):
        folder = tmp_path / name / "run"
        folder.mkdir(parents=True)
        for file in ("run.json", "config.yaml", *more):
            (folder / file).touch()
        remove_unused(folder)
        remove_unused(folder)  # as another process may
    assert [one.name for one in tmp_path.iterdir()] == ["begun"]
    assert len(list((tmp_path / "begun" / "run").iterdir())) == 3
