"""The process that `algebra` asks: reads ["how", "given", "right"] per line, writes true or false.

It kills itself where one question takes too long or too much memory.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
from typing import Any

LIMIT_S = 3  # of the processor, a question
LIMIT_BYTES = 2 * 1024**3  # of address space, all in all


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)  # it warns that the limit is ours
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = math.ceil(used.ru_utime + used.ru_stime)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (spent + LIMIT_S, hard))
        how, given, right = json.loads(line)
        try:
            found = _WAYS[how](given, right)
        except Exception:  # noqa: BLE001  # whatever algebra says of what a policy wrote
            found = False
        print(json.dumps(bool(found)), flush=True)


def _are_equal(given: str, right: str) -> bool:
    from math_verify import parse, verify  # takes a second, and core itself needs nothing
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    kinds = [LatexExtractionConfig(boxed_match_priority=-1), ExprExtractionConfig()]
    one, other = (parse(f"${text}$", kinds, parsing_timeout=0) for text in (right, given))
    return bool(one and other) and verify(one, other, timeout_seconds=0)


def _are_close(given: str, right: str) -> bool:
    one, other = _of_latex(right), _of_latex(given)
    try:
        return abs(float(str(one)) - float(str(other))) < 1e-6  # a symbol may be called 32
    except ValueError:
        return abs(one - other) < 1e-6


def _are_rounded_alike(given: str, right: str) -> bool:
    one, other = (round(float(_of_latex(text)), 2) for text in (right, given))
    return one == other


def _of_latex(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy

    return latex2sympy(text)


_WAYS = {"equal": _are_equal, "close": _are_close, "rounded": _are_rounded_alike}


if __name__ == "__main__":
    main()
