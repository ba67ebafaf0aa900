"""`python -m vigorl.data inspect FILE ...`: see `vigorl.inspect_data`."""

from __future__ import annotations

import runpy
import sys

_USAGE = "python -m vigorl.data inspect FILE [env=... scale=... data.question=COLUMN ...]"


def words_for(words: list[str]) -> list[str]:
    """The command line of the door behind it.

    >>> words_for(["inspect", "my.csv", "scale=tiny"])
    ['data=my_file', "data.path='my.csv'", 'scale=tiny']

    Raises:
        SystemExit: It asks for help (exit code 0), or is not of that form (2).
    """
    if {"--help", "-h"} & set(words[:2]):
        print(f"usage: {_USAGE}")
        raise SystemExit(0)
    if len(words) < 2 or words[0] != "inspect" or words[1].startswith("-") or "=" in words[1]:
        print(f"usage: {_USAGE}", file=sys.stderr)
        raise SystemExit(2)
    path = words[1].replace("\\", "\\\\").replace("'", "\\'")
    return ["data=my_file", f"data.path='{path}'", *words[2:]]


if __name__ == "__main__":
    sys.argv[1:] = words_for(sys.argv[1:])
    runpy.run_module("vigorl.inspect_data", run_name="__main__", alter_sys=True)
