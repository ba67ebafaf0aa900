"""The evaluation kits' own functions against ours, over 2,000 made replies each.

    git clone https://github.com/EvolvingLMMs-Lab/lmms-eval && git -C lmms-eval checkout 75571cf
    git clone https://github.com/open-compass/VLMEvalKit && git -C VLMEvalKit checkout e8e78f0
    python benchmarks/kits.py --lmms-eval lmms-eval --vlmevalkit VLMEvalKit [--write FILE.md]

First: does `protocol=lmms_eval` say what lmms-eval says, and so for the other kit; each reply on
which they differ is printed. Then: where does `protocol=vigorl` judge otherwise than the kits, by
kind of reply. Every made reply is known to be right or wrong, so false credit and lost answers are
counted on both sides. Functions are taken out of the kits' files as they stand; what those files
import and is not installed is left empty.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import io
import math
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from made_replies import BOX, VIEW, Made, made_replies

from vigorl.core.records import TaskRecord
from vigorl.core.trace import parse_turn
from vigorl.evaluation.protocols.kit import Kit, letters_of, right_letter
from vigorl.evaluation.protocols.lmms_eval import KIT as LMMS_EVAL
from vigorl.evaluation.protocols.vlmevalkit import KIT as VLMEVALKIT

NUM_REPLIES = 2000
Theirs = Callable[[str, TaskRecord], bool]


# -- the kits' own functions -------------------------------------------------------------------


def functions(path: Path, **known: Any) -> types.SimpleNamespace:
    """What a file defines, without running what it imports from elsewhere."""
    space: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Expr):
            continue
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
        try:
            exec(compile(ast.Module([node], []), str(path), "exec"), space)
        except Exception:  # noqa: BLE001  # an import that is not there, a constant that needs it
            names = [(one.asname or one.name).split(".")[0] for one in getattr(node, "names", [])]
            space |= {name: type(name, (_Absent,), {}) for name in names}
        space |= known
    return types.SimpleNamespace(**space)


class _Absent:
    """What is not installed: a base, a logger, a client; it does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def lmms_eval(root: Path) -> dict[str, Theirs]:
    """Whether lmms-eval calls a reply right, by benchmark."""
    tasks = root / "lmms_eval" / "tasks"
    name = "lmms_eval.tasks._task_utils.mcq_extract"
    spec = importlib.util.spec_from_file_location(name, tasks / "_task_utils" / "mcq_extract.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for part in ("lmms_eval", "lmms_eval.tasks", "lmms_eval.tasks._task_utils"):
        sys.modules.setdefault(part, types.ModuleType(part))
    sys.modules[name] = module
    of = {one: functions(tasks / one / "utils.py") for one in (
        "vstar_bench", "blink", "cv_bench", "sat", "realworldqa", "mme_realworld", "pope", "ai2d",
        "mmvp", "robo_spatial", "screenspot_v2", "screenspot_pro",
    )}  # fmt: skip
    mcq = functions(tasks / "_task_utils" / "mmmu_mcq_utils.py")
    mcq.parse_mmmu_multi_choice_response.__globals__["random"] = mock.Mock(choice=lambda _: "?")
    mmmu = functions(tasks / "mmmu" / "utils.py")
    hrbench = functions(tasks / "hrbench" / "hrbench_evals.py").HRBenchEval("none")
    exact = functions(root / "lmms_eval" / "api" / "metrics.py").exact_match_hf_evaluate
    evals = functions(tasks / "mathvision" / "eval_utils.py", latex2sympy=_latex2sympy(), **{
        one: getattr(math, one) for one in ("sqrt", "pi", "sin", "cos", "tan", "log", "exp")
    })  # fmt: skip
    mathvision = functions(
        tasks / "mathvision" / "utils.py",
        find_math_answer=evals.find_math_answer,
        is_equal=evals.is_equal,
        is_number=evals.is_number,
    )

    def same(given: str, right: str) -> bool:
        found = exact([given], [right], ignore_case=True, ignore_punctuation=True)
        return bool(found["exact_match"])

    def filtered(kind: str, reply: str, task: TaskRecord) -> str:
        made = object.__new__(of[kind].MultiChoiceRegexFilter)
        return made.apply([[reply]], [{"question": task.question, "options": task.options}])[0]

    def choice(reply: str, task: TaskRecord) -> bool:
        if not task.options:
            parsed = mmmu.parse_open_response(reply)
            return bool(mmmu.eval_open(task.answer, str(parsed[0]) if parsed else ""))
        found = mcq.parse_mmmu_multi_choice_response(reply, [*letters_of(task)], letters_of(task))
        return found == right_letter(task)

    def robospatial(reply: str, task: TaskRecord) -> bool:
        import numpy as np

        mask = np.zeros((480, 640), np.uint8)
        mask[120:361, 160:481] = 1
        robo = of["robo_spatial"]
        fake = mock.Mock(open=lambda _: mask)
        robo.evaluate_pointing_with_mask.__globals__.update(Image=fake)
        doc = {"answer": task.answer, "category": "context", "mask_path": __file__}
        return robo.robo_spatial_process_results_generation(doc, [reply])["score"] == 1

    def screen(kind: str, reply: str) -> bool:
        share = [BOX.left / 640, BOX.top / 480, BOX.right / 640, BOX.bottom / 480]
        doc = {"bbox": share} if kind == "v2" else {
            "bbox": list(BOX.as_tuple()), "img_size": [640, 480],
        }  # fmt: skip
        score = getattr(of[f"screenspot_{kind}"], f"screenspot_{kind}_process_results")
        return score(doc, [reply])[f"screenspot_{kind}_action_acc"]["correct"]

    def math_vision(reply: str, task: TaskRecord) -> bool:
        doc = {"answer": right_letter(task) or task.answer, "options": list(task.options)}
        found = mathvision.mathvision_process_results(doc, [reply])
        return found["mathvision_standard_eval"]["scores"][0]

    def letter(function: Callable[[str], str | None]) -> Theirs:
        return lambda reply, task: function(reply) == right_letter(task)

    real, pope = of["realworldqa"].realworldqa_process_results, of["pope"].pope_process_results
    return {
        "vstar": letter(of["vstar_bench"].extract_answer_letter),
        "blink": letter(of["blink"]._extract_answer_letter),
        "cv_bench": letter(of["cv_bench"]._extract_answer_letter),
        "sat": lambda reply, task: same(filtered("sat", reply, task), right_letter(task)),
        "realworldqa": lambda reply, task: bool(
            real({"answer": right_letter(task) or task.answer}, [reply])["exact_match"]
        ),
        "mme_realworld": letter(of["mme_realworld"].extract_characters_regex),
        "pope": lambda reply, task: bool(
            pope({"answer": task.answer, "question_id": 0}, [reply])["pope_accuracy"]["score"]
        ),
        "gqa": lambda reply, task: same(reply, task.answer),
        "ai2d": lambda reply, task: same(filtered("ai2d", reply, task), right_letter(task)),
        "hrbench": lambda reply, task: (
            hrbench.can_infer(reply, letters_of(task)) == right_letter(task)
        ),
        "mmvp": letter(of["mmvp"]._extract_answer_letter),
        "robospatial": robospatial,
        "screenspot_v2": lambda reply, _: screen("v2", reply),
        "screenspot_pro": lambda reply, _: screen("pro", reply),
        "mmmu": choice,
        "mathvision": math_vision,
    }


def vlmevalkit(root: Path) -> dict[str, Theirs]:
    """Whether VLMEvalKit calls a reply right by exact matching, by benchmark."""
    data = root / "vlmeval" / "dataset"
    match = functions(root / "vlmeval" / "utils" / "matching_util.py")
    misc = functions(root / "vlmeval" / "smp" / "misc.py")
    mcq = functions(data / "utils" / "multiple_choice.py", can_infer=match.can_infer)
    yorn = functions(data / "utils" / "yorn.py", process_punctuation=misc.process_punctuation)
    vqa = functions(data / "utils" / "vqa_eval.py", istype=lambda *_: False)
    parser = functions(data / "utils" / "spatial_bench" / "tools" / "utils.py")
    robo = functions(data / "robospatialbench.py", Point2DParser=parser.Point2DParser)
    screens = {one: functions(data / "GUI" / f"screenspot{one}.py") for one in ("_v2", "_pro")}
    maths = {
        one: functions(
            data / "utils" / f"{one}.py", can_infer=match.can_infer, latex2sympy=_latex2sympy()
        )
        for one in ("mathv", "mathvista")
    }
    wemath = functions(data / "utils" / "wemath.py")

    def choice(reply: str, task: TaskRecord) -> bool:
        if task.options:
            return match.can_infer(reply, letters_of(task)) == right_letter(task)
        return match.can_infer(reply, {"A": task.answer, "B": "Other Answers"}) == "A"

    def tagged(reply: str, task: TaskRecord) -> bool:
        found = re.search(r"<answer>(.*?)</answer>", reply, re.DOTALL)  # of `evaluate`
        reply = found.group(1).strip().upper() if found else reply
        return mcq.extract_characters_regex(reply) == right_letter(task) != ""

    def robospatial(reply: str, task: TaskRecord) -> bool:
        return bool(robo.RoboSpatialBench.evaluate_answer(task.answer, reply, 640, 480)[0])

    def screen(kind: str, reply: str) -> bool:
        """The comparison stands within `evaluate_point`, which reads files; this is it."""
        short = 1 if kind == "_v2" else 0
        edges = (BOX.left, BOX.top, BOX.right - short, BOX.bottom - short)
        try:
            x, y = screens[kind].parse_bbox_aguvis(reply)
        except ValueError:
            return False
        x, y = (x / 640, y / 480) if x > 1 or y > 1 else (x, y)
        return edges[0] / 640 <= x <= edges[2] / 640 and edges[1] / 480 <= y <= edges[3] / 480

    def we_math(reply: str, task: TaskRecord) -> bool:
        import pandas as pd

        table = pd.DataFrame([{"prediction": reply, "answer": right_letter(task)}])
        wemath.load_and_process_data.__globals__["load"] = lambda _: table
        return bool(wemath.load_and_process_data("")["joker"][0])

    def math_line(kind: str, reply: str, task: TaskRecord) -> bool:
        is_whole = task.answer.lstrip("-").isdigit()
        line = {
            "answer": task.answer, "prediction": reply, "choices": str(list(task.options)),
            "question_type": "multi_choice" if task.options else "free_form",
            "answer_option": right_letter(task), "answer_type": "integer" if is_whole else "float",
        }  # fmt: skip
        if kind == "mathv" and task.options:
            line["answer"] = right_letter(task)
        if kind == "mathvista" and not task.options:
            line["res"] = reply  # before it asks, it looks at nothing but letters
            return bool(maths[kind].post_check(line))
        found = maths[kind].post_check(line, prefetch=True)
        return found == right_letter(task) if task.options else found is not False

    found: dict[str, Theirs] = dict.fromkeys(
        ("vstar", "blink", "cv_bench", "realworldqa", "ai2d", "mmmu", "hrbench", "mmvp"), choice
    )
    return found | {
        "mme_realworld": tagged,
        "treebench": tagged,
        "wemath": we_math,
        "pope": lambda reply, task: yorn.YOrN_Extraction(reply).lower() == task.answer.lower(),
        "gqa": lambda reply, task: bool(
            vqa.process_line({"answer": task.answer, "prediction": reply}, "accuracy")["match"][0]
        ),
        "robospatial": robospatial,
        "screenspot_v2": lambda reply, _: screen("_v2", reply),
        "screenspot_pro": lambda reply, _: screen("_pro", reply),
        "mathvision": lambda reply, task: math_line("mathv", reply, task),
        "mathvista": lambda reply, task: math_line("mathvista", reply, task),
    }


def _latex2sympy() -> Any:
    from latex2sympy2_extended import latex2sympy  # comes with math-verify

    return latex2sympy


# -- the comparison ------------------------------------------------------------------------------


@dataclass
class Compared:
    """What three ways of judging said of one made reply."""

    benchmark: str
    made: Made
    theirs: bool
    repeated: bool
    ours: bool


def compare(kit: Kit, theirs: dict[str, Theirs], *, seed: int) -> list[Compared]:
    """All made replies, judged by the kit, by our protocol of its name, and by our own protocol."""
    found = []
    names = sorted(theirs)
    for i, name in enumerate(names):
        number = (i + 1) * NUM_REPLIES // len(names) - i * NUM_REPLIES // len(names)
        for made in made_replies(name, number, seed=seed):
            with contextlib.redirect_stdout(io.StringIO()):
                said = bool(theirs[name](made.reply, made.task))
            repeated = kit.task(name).rule(made.reply, made.task, VIEW).score == 1.0
            said_to_us = parse_turn(made.reply).answer or made.reply  # in tags or bare
            ours = made.task.is_right(said_to_us, view=VIEW)
            found.append(Compared(name, made, said, repeated, ours))
    return found


def agreement(name: str, found: list[Compared]) -> str:
    """A row per benchmark, and each disagreement."""
    lines = [f"| {name} | replies | the protocol agrees | vigorl agrees |", "|---|---|---|---|"]
    for benchmark in [*dict.fromkeys(one.benchmark for one in found), "all"]:
        part = [one for one in found if benchmark in (one.benchmark, "all")]
        same = sum(one.theirs == one.repeated for one in part)
        ours = sum(one.theirs == one.ours for one in part)
        shares = f"{100 * same / len(part):.1f} % | {100 * ours / len(part):.1f} %"
        lines.append(f"| {benchmark} | {len(part)} | {shares} |")
    differing = [one for one in found if one.theirs != one.repeated]
    lines += [
        f"- {one.benchmark}: {one.made.reply!r} to {one.made.task.answer!r} of "
        f"{one.made.task.options}: the kit says {one.theirs}, the protocol {one.repeated}"
        for one in differing
    ]
    return "\n".join(lines)


def by_kind(kits: dict[str, list[Compared]]) -> str:
    """Per kind of reply: right ones lost and wrong ones credited, of all right and wrong ones."""
    lines = [
        "| kind | " + " | ".join(f"{name} lost | credited" for name in [*kits, "vigorl"]) + " |",
        "|---" * (2 * len(kits) + 3) + "|",
    ]
    everything = [one for found in kits.values() for one in found]
    for kind in [*dict.fromkeys(one.made.kind for one in everything), "all"]:
        parts = {name: [one for one in found if kind in (one.made.kind, "all")]
                 for name, found in kits.items()}  # fmt: skip
        cells = [_errors(part, lambda one: one.theirs) for part in parts.values()]
        both = [one for part in parts.values() for one in part]
        cells.append(_errors(both, lambda one: one.ours))
        lines.append(f"| `{kind}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _errors(part: list[Compared], said: Callable[[Compared], bool]) -> str:
    right = [one for one in part if one.made.is_right]
    wrong = [one for one in part if not one.made.is_right]
    lost = sum(not said(one) for one in right)
    credited = sum(said(one) for one in wrong)
    return f"{lost}/{len(right)} | {credited}/{len(wrong)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lmms-eval", type=Path, required=True)
    parser.add_argument("--vlmevalkit", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="a Markdown file for the tables")
    parser.add_argument("--seed", type=int, default=0, help="of the made replies")
    said = parser.parse_args()
    kits = {
        "lmms-eval": compare(LMMS_EVAL, lmms_eval(said.lmms_eval), seed=said.seed),
        "VLMEvalKit": compare(VLMEVALKIT, vlmevalkit(said.vlmevalkit), seed=said.seed),
    }
    parts = [agreement(name, found) for name, found in kits.items()]
    text = "\n\n".join([*parts, by_kind(kits)]) + "\n"
    print(text)
    if said.write:
        said.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
