"""`desk audit FILE`: what extensions were allowed and denied, from a file that `desk.capabilities.audit_file` has written.

The file may hold what a guest asked for, and may have been made up: every text of it is escaped before it gets to a terminal.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from desk.bus.ron.text import printable
from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_lines import UNREADABLE, Gap, read_audit
from desk.cli.exits import OK, USAGE
from desk.cli.terminal import Terminal

_STYLES = {"DENIED": "red", "observed": "yellow", "allowed": "green"}


def run(file: str, *, as_json: bool = False, extension: str | None = None, denied: bool = False) -> int:
    """Print one line for each decision, of one `extension` or all, only the `denied` ones or all; 2 if it cannot be read."""
    out = Terminal()
    unreadable = found = 0
    try:
        for entry in _chosen(Path(file), extension, denied):
            if entry is UNREADABLE:
                unreadable += 1
                continue
            found += 1
            if as_json:
                out.line(json.dumps(entry._asdict()))
            else:
                _show(out, entry)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"desk: {printable(file)}: {error.strerror or 'cannot be read'}", file=sys.stderr)
        return USAGE
    if unreadable:
        lines = "1 line that is" if unreadable == 1 else f"{unreadable:,} lines that are"
        was = "was" if unreadable == 1 else "were"
        print(f"desk: {lines} none of an audit {was} left out", file=sys.stderr)
    if not found and (denied or extension is not None):
        what = "denied" if denied else "decided"
        whose = f" of {printable(extension)}" if extension is not None else ""
        print(f"desk: nothing{whose} was {what} in {printable(file)}", file=sys.stderr)
    return OK


def _chosen(file: Path, extension: str | None, denied: bool) -> Iterator[AuditRecord | Gap]:
    for entry in read_audit(file):
        if entry is UNREADABLE or (extension in (None, entry.extension) and (entry.denied or not denied)):
            yield entry


def _show(out: Terminal, entry: AuditRecord | Gap) -> None:
    when = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    if isinstance(entry, Gap):
        out.line(f"{when}  {out.style('...     ', 'yellow')}  {printable(str(entry))}")
        return
    caller = " for " + " -> ".join(entry.principals[:-1]) if len(entry.principals) > 1 else ""
    rule = f" ({entry.rule})" if entry.rule else ""
    trace = f"  {out.style(f'trace {printable(entry.traceparent)}', 'dim')}" if entry.traceparent else ""
    out.line(
        f"{when}  {out.style(f'{entry.outcome:<8}', _STYLES[entry.outcome])}  "
        f"{printable(entry.extension + caller)}: {printable(entry.reason + rule)}{trace}"
    )
