"""`python -m benchmarks`, or `make bench`: speed beside Extism and wasmtime-py, as ratios within one run."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import rows
from benchmarks.contestants import WrongAnswer, field
from benchmarks.echo import NoCompiler
from benchmarks.report import print_table
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
    parser.add_argument("--quick", action="store_true", help="a second instead of 20: shows that it works, no more")
    options = parser.parse_args(arguments)
    plan = rows.QUICK if options.quick else rows.STANDARD
    try:
        with tempfile.TemporaryDirectory(prefix="desk-bench-") as scratch, field(Path(scratch) / "modules") as everyone:
            measured = rows.measure(everyone, plan)
    except (NoCompiler, WrongAnswer) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return rows.NOT_MEASURED
    if options.json:
        for row in measured:
            print(json.dumps(row.as_json()))
    else:
        print_table(measured, plan, Terminal())
    return rows.exit_code(measured)


if __name__ == "__main__":
    sys.exit(main())
