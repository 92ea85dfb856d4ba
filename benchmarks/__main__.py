"""`python -m benchmarks`, or `make bench`: speed beside Extism and wasmtime-py, as ratios within one run, and under load."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.echo import NoCompiler
from benchmarks.goals import NOT_MEASURED, exit_code
from benchmarks.measure import WrongAnswer
from benchmarks.plan import QUICK, STANDARD
from benchmarks.report import print_table
from benchmarks.rows import TOPICS, measure
from desk.cli.terminal import Terminal

_EXITS = """exit codes:
  0  all goals met
  1  a goal missed
  2  not measured: no compiler for the guest, a peer that a goal needs is missing, or somebody gave wrong bytes
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, epilog=_EXITS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of a minute: shows that it works, no more"
    )
    parser.add_argument(
        "--only", action="append", choices=TOPICS, metavar="GROUP", help=f"only one of {', '.join(TOPICS)}; repeatable"
    )
    parser.add_argument("--actors", type=_count, metavar="N", help=f"how many a crowd is ({STANDARD.actors:,})")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else STANDARD
    if options.actors is not None:
        plan = replace(plan, actors=options.actors)
    try:
        with tempfile.TemporaryDirectory(prefix="desk-bench-") as scratch:
            measured = measure(options.only or TOPICS, plan, Path(scratch))
    except (NoCompiler, WrongAnswer) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return NOT_MEASURED
    if options.json:
        for row in measured:
            print(json.dumps(row.as_json()))
    else:
        print_table(measured, plan, Terminal())
    return exit_code(measured)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
