"""The process that `algebra` asks: reads ["given", "right"] per line, writes true or false.

It kills itself where one question takes too long or too much memory.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import sys

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
        given, right = json.loads(line)
        print(json.dumps(_are_equal(given, right)), flush=True)


def _are_equal(given: str, right: str) -> bool:
    from math_verify import parse, verify  # takes a second, and core itself needs nothing
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    kinds = [LatexExtractionConfig(boxed_match_priority=-1), ExprExtractionConfig()]
    try:
        one, other = (parse(f"${text}$", kinds, parsing_timeout=None) for text in (right, given))
        return bool(one and other and verify(one, other, timeout_seconds=None))
    except (Exception, MemoryError, RecursionError):  # noqa: BLE001
        return False


if __name__ == "__main__":
    main()
