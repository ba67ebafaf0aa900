"""What a rule that keeps questions of a search (`keeping.keep`) leaves on disk.

`questions.jsonl` has the kept questions in the format of `data.sources.rl_jsonl`; `kept.json` says
of every question whether it was kept, and why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vigorl.data.sources.rl_jsonl import write_rl_jsonl
from vigorl.search.keeping.keep import Verdict
from vigorl.search.searched import SearchedTask


def write_kept(
    searched: Sequence[SearchedTask], verdicts: Sequence[Verdict], folder: Path
) -> dict[str, Any]:
    """Write both files into `folder`, and return the summary that `kept.json` begins with."""
    kept = [one.kept.task for one in verdicts if one.kept is not None]
    write_rl_jsonl(kept, folder / "questions.jsonl")
    summary: dict[str, Any] = {
        "num_questions": len(verdicts),
        "num_kept": len(kept),
        "kept": _counts(one.why for one in verdicts if one.kept is not None),
        "left_out": _counts(one.why for one in verdicts if one.kept is None),
    }
    of_each = {
        one.task.id: {"kept": said.kept is not None, "why": said.why, **said.numbers}
        for one, said in zip(searched, verdicts, strict=True)
    }
    text = json.dumps({**summary, "questions": of_each}, indent=1, ensure_ascii=False)
    (folder / "kept.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _counts(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))
