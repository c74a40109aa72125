"""All trust scenarios one after the other, their figures, and one line that says it all.

    make trust                                                       # or:
    .venv/bin/python bench/trust/run.py [--scale S] [--seed N] [--only NAME]...

Scale 1 is the size that `docs/trust.md` tells of; a tenth of it is the default. The exit status is 1, and the closing
line is missing, where a scenario could not be played to its end; it is 1 too where a figure is not 0.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import importlib
import random
import sys
import time
import traceback

from stage import Figures, added, closing_line, is_wrong, scratch, show

SCENARIOS = ("kills", "syscalls", "faults", "races", "aborts", "recordings", "overhead", "rotation")


def main() -> int:
    parser = argparse.ArgumentParser(description="Plays all trust scenarios, or those that are named.")
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS))
    options = parser.parse_args()
    played = [play(name, options.scale, options.seed) for name in options.only or SCENARIOS]
    found = [one for one in played if one is not None]
    if len(found) < len(played):
        return 1
    total = added(found)
    print(closing_line(total))
    return int(is_wrong(total))


def play(name: str, scale: float, seed: int) -> Figures | None:
    """None where it came to no end."""
    random.seed(seed)
    began = time.monotonic()
    try:
        with scratch(name) as folder:
            found: Figures = importlib.import_module(name).run(scale, folder)
    except Exception:
        print(f"{name} could not be played to its end:\n{traceback.format_exc()}", flush=True)
        return None
    show(name, found, time.monotonic() - began)
    return found


if __name__ == "__main__":
    sys.exit(main())
