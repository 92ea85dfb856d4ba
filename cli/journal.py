"""What `desk run` tells: each module as it is loaded or refused, then the log of all that runs, then how it went.

There are two: `Journal` writes lines for people, `JsonJournal` one JSON object a line for programs, with the same facts. What
comes from a guest or its manifest is escaped in both.

Both tell denials at the pace of the audit's log: of each extension the first of each permission in a minute, ten at most.
"""

import json
import logging
import signal
import time
from collections.abc import Collection, Sequence
from typing import Protocol

from desk.bus.ron.text import printable
from desk.capabilities.audit import AuditRecord
from desk.cli.terminal import Terminal
from desk.host.extension import Extension, HostStatistics

_STYLES = {"loaded": "green", "refused": "red", "not granted": "yellow", "note": "yellow"}


class Journal(Protocol):
    """What can be told. All files are relative to the folder that is hosted."""

    def loading(self, file: str) -> None:
        """A module is compiled and started: the first time, that takes long."""
        ...

    def loaded(self, file: str, extension: Extension, seconds: float) -> None:
        """It runs."""
        ...

    def refused(self, file: str, reasons: Sequence[str]) -> None:
        """It does not run, and why; the others do."""
        ...

    def note(self, text: str) -> None:
        """Something the operator should know before all runs."""
        ...

    def running(self, count: int, observe: bool | Collection[str]) -> None:
        """All that will run does. What it lacks is only watched for all of them, if `observe` says so, or for those named."""
        ...

    def log(self, record: logging.LogRecord) -> None:
        """A line of the log: of a guest, a denial, an event that failed."""
        ...

    def stopping(self) -> None:
        """No more is accepted, and what waits is handled."""
        ...

    def stopped(self, statistics: HostStatistics, observed: int, seconds: float) -> None:
        """How it went, after `seconds`; `observed` of the requests were allowed only because nothing is enforced."""
        ...


class TextJournal(Journal):
    """For people."""

    def __init__(self, out: Terminal) -> None:
        self._out = out

    def _step(self, name: str, text: str) -> None:
        name = f"{name:>11}"
        first, *more = text.splitlines() or [""]
        style = _STYLES.get(name.strip())
        self._out.line(f"{self._out.style(name, style) if style else name}  {printable(first)}")
        for line in more:
            self._out.line(f"{'':>11}  {printable(line)}")

    def loading(self, file: str) -> None:
        self._step("loading", file)

    def loaded(self, file: str, extension: Extension, seconds: float) -> None:
        manifest = extension.manifest
        self._step("loaded", f"{extension.name} {manifest.version or '(no version)'} in {seconds * 1000:,.0f} ms")
        self._step("exports", ", ".join(manifest.exports) or "nothing")
        for atom in manifest.requested:
            reason = manifest.reason(atom)
            given = "granted" if extension.granted.covers(atom) else "not granted"
            self._step(given, f"{atom}" + (f", {reason}" if reason else ""))
        for notice in extension.notices:
            self._step("note", notice)

    def refused(self, file: str, reasons: Sequence[str]) -> None:
        self._step("refused", f"{file}: {reasons[0]}" if len(reasons) == 1 else f"{file}:")
        for reason in reasons if len(reasons) > 1 else ():
            self._step("", f"- {reason}")

    def note(self, text: str) -> None:
        self._step("note", text)

    def running(self, count: int, observe: bool | Collection[str]) -> None:
        line = f"{_counted(count, 'extension')} running; Ctrl-C stops" + (" them" if count > 1 else " it")
        if observe:
            whom = "all" if observe is True else printable(", ".join(sorted(observe)))
            what = f"OBSERVING {whom}: nothing is denied but what the policy forbids"
            line += f"; {self._out.style(what, 'yellow')}"
        self._out.line(line)

    def log(self, record: logging.LogRecord) -> None:
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname.lower():<7}"
        how = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else "dim"
        place = record.name.removeprefix("desk.").removeprefix("ext.")
        self._out.line(f"{when} {self._out.style(level, how)} {printable(place)}: {printable(_message(record))}")

    def stopping(self) -> None:
        self._out.line("stopping")

    def stopped(self, statistics: HostStatistics, observed: int, seconds: float) -> None:
        allowed = f"{_counted(statistics.allowed, 'request')} allowed"
        if observed:
            allowed += f", {observed:,} of them only observed"
        self._out.line(f"stopped after {seconds:,.1f} s: {allowed}, {statistics.denied:,} denied")
        for name, each in statistics.extensions.items():
            self._out.line(
                f"  {name}: {_counted(each.handled, 'message')} handled, {each.failed:,} failed, "
                f"{each.dropped:,} dropped, {_counted(each.instances, 'instance')}"
            )


class JsonJournal(Journal):
    """For programs: each line is an object with `event`, and `time` in seconds since the epoch."""

    def __init__(self, out: Terminal) -> None:
        self._out = out

    def _write(self, event: str, **facts: object) -> None:
        self._out.line(json.dumps({"event": event, "time": time.time(), **facts}))

    def loading(self, file: str) -> None:
        self._write("loading", file=file)

    def loaded(self, file: str, extension: Extension, seconds: float) -> None:
        requested, granted = extension.manifest.requested, extension.granted
        self._write(
            "loaded",
            file=file,
            name=extension.name,
            version=extension.manifest.version,
            exports=list(extension.manifest.exports),
            granted=[str(atom) for atom in requested if granted.covers(atom)],
            not_granted=[str(atom) for atom in requested if not granted.covers(atom)],
            notices=list(extension.notices),
            seconds=seconds,
        )

    def refused(self, file: str, reasons: Sequence[str]) -> None:
        self._write("refused", file=file, reasons=list(reasons))

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def running(self, count: int, observe: bool | Collection[str]) -> None:
        self._write("running", extensions=count, observe=observe if isinstance(observe, bool) else sorted(observe))

    def log(self, record: logging.LogRecord) -> None:
        said = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if record.name == "desk.audit" and isinstance(said, AuditRecord):
            self._write(
                "denied" if not said.allowed else "observed",
                extension=said.extension,
                permission=said.permission,
                reason=said.reason,
                missing=said.missing,
            )
            return
        self._write("log", level=record.levelname.lower(), logger=record.name, message=_message(record))

    def stopping(self) -> None:
        self._write("stopping")

    def stopped(self, statistics: HostStatistics, observed: int, seconds: float) -> None:
        extensions = {
            name: {"handled": each.handled, "failed": each.failed, "dropped": each.dropped, "instances": each.instances}
            for name, each in statistics.extensions.items()
        }
        self._write(
            "stopped",
            seconds=seconds,
            allowed=statistics.allowed,
            denied=statistics.denied,
            observed=observed,
            extensions=extensions,
        )


class LogLines(logging.Handler):
    """Puts the log of the rooms, from INFO up, into a journal, but for what the journal is about to say itself.

    While a module is `loading`, what the host warns of it is in its `notices`, and so is what it may not listen to.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal
        self.loading: str | None = None
        """The name of the extension that is being loaded."""

    def emit(self, record: logging.LogRecord) -> None:
        notices = {"desk.host": f"{self.loading} ", "desk.audit": f"{self.loading} DENIED: bus subscribe:"}
        if self.loading and record.name in notices and record.getMessage().startswith(notices[record.name]):
            return
        try:
            self._journal.log(record)
        except BrokenPipeError:  # nobody reads us any more, and this may be any thread: stop as if we were asked to
            signal.raise_signal(signal.SIGTERM)


def _message(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return record.getMessage() + (f": {type(error).__name__}: {error}" if error else "")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
