r"""How lmms-eval takes MathVision's answers out of replies, and compares them.

The box is cut greedily, from its first "oxed{" to the last brace, and "\text" is dropped without
its braces, as there. The kit then runs what LaTeX becomes in Python; here numbers to two decimals
are compared, and formulas by math-verify.

Source: EvolvingLMMs-Lab/lmms-eval@75571cf, lmms_eval/tasks/mathvision/{utils,eval_utils}.py.
"""

from __future__ import annotations

import re

from vigorl.core.scoring.algebra import are_equal

_SAYS = ["the final answer is", "the answer is", "the correct answer is", "the answer should be"]
_DROPPED = [
    ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""),
    ("\\text", ""), ("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""),
    ("^{\\circ}", ""), ("^\\circ", ""), ("{m}^3", ""), ("m^3", ""), ("{units}", ""), ("units", ""),
    ("{km}", ""), ("km", ""),
]  # fmt: skip
_STRIPPED = [
    ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""),
    ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""), ("$", ""),
]  # fmt: skip


def mathvision_answer(reply: str) -> str:
    """`mathvision_process_results` up to the comparison."""
    answer = reply.strip()
    for one in "ABCDE":
        ends = answer.endswith((f" {one}.", f" ({one})."))
        if ends or answer.startswith((f"{one}\n", f"({one})\n", f"({one}) {one}\n")):
            answer = one
    last = answer.split("is ")[-1].rstrip(".")
    answer = last if _is_number(last) else answer
    if "oxed{" not in answer:
        for says in _SAYS:
            for flag in (says, says.replace("the", "The")):
                is_said = flag in answer
                answer = answer.split(flag)[-1].strip()
                if is_said:
                    answer = answer.split("\n")[0].split(". ")[0]
    elif answer.count("oxed{") > 1:
        answer = "\\boxed{" + answer.split("oxed{")[-1]
    answer = find_math_answer(answer)
    for form in ("({})", "{{{}}}"):
        for one in "abcde":
            answer = answer.replace(form.format(one), one)
    return answer.rstrip(".").lstrip(":").strip()


def mathvision_is_right(given: str, right: str) -> bool:
    """`is_equal`: as texts, else as values to two decimals."""
    given, right = given.lower(), right.lower()
    if not given.replace(" ", "") or not right.replace(" ", ""):
        return False
    if given.strip() == right.strip():
        return True
    if _is_number(given) and _is_number(right):
        return round(float(given), 2) == round(float(right), 2)
    return are_equal(given, right, how="rounded")


def find_math_answer(text: str) -> str:
    """`find_math_answer`."""
    text = text.lower().replace("{}", "")
    boxes = re.findall(r"oxed{(.*)}", text, flags=re.DOTALL)
    answer = boxes[-1] if boxes else text
    closing, opening = answer.find("}"), answer.find("{")
    if closing != -1 and (opening == -1 or closing < opening):
        answer = answer.split("}")[0]
    answer = answer.split("=")[-1].split("\\approx")[-1].replace(" ", "")
    for old, new in _DROPPED:
        answer = answer.replace(old, new)
    return _strip_string(answer)


def _strip_string(text: str) -> str:
    for old, new in _STRIPPED:
        text = text.replace(old, new)
    text = text.split("\\text{ ")[0].replace("\\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = f"0{text}" if text[0] == "." else text
    for sign in ("=", "\\approx"):
        if text.count(sign) == 1:
            text = text.split(sign)[-1]
    if "sqrt" in text:
        text = _fix_roots(text)
    text = text.replace(" ", "")
    if "sqrt" in text:
        text = _fix_fractions(text)
    if text == "0.5":
        text = "\\frac{1}{2}"
    return _fix_slash(text)


def _fix_roots(text: str) -> str:
    first, *rest = text.split("\\sqrt")
    fixed = [f"{{{one[0]}}}{one[1:]}" if one and one[0] != "{" else one for one in rest]
    return "\\sqrt".join([first, *fixed])


def _fix_fractions(text: str) -> str:
    first, *rest = text.split("\\frac")
    for i, one in enumerate(rest):
        if one.startswith("{"):
            continue
        if len(one) < 2:
            return text
        a, b = one[0], one[1]
        rest[i] = f"{{{a}}}{b if b == '{' else '{' + b + '}'}{one[2:]}"
    return "\\frac".join([first, *rest])


def _fix_slash(text: str) -> str:
    match = re.fullmatch(r"(0|-?[1-9]\d*)/(0|-?[1-9]\d*)", text)
    return f"\\frac{{{match[1]}}}{{{match[2]}}}" if match else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
