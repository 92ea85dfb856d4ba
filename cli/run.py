"""`desk run DIR`: host the extensions of a folder until Ctrl-C or SIGTERM.

Every `*.wasm` in the folder and in the folders right below it is an extension, its manifest inside of it or beside it. Each gets
what `--grant` and the policy say, as far as its manifest asks for it, and no more. One that is refused is told, and the others
run.

All that can be wrong with the command line is found before anything is loaded.
"""

import json
import logging
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from desk.actors.errors import Refused
from desk.actors.manifest import Manifest
from desk.actors.manifest_config import settings
from desk.bus.errors import DeskError
from desk.bus.ron.text import printable
from desk.bus.types import InvalidValue
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy import Given, Policy
from desk.capabilities.policy_file import PolicyError, read_policy_file
from desk.capabilities.syntax import PermissionSyntaxError
from desk.capabilities.vocabulary import STANDARD
from desk.cli.asking import TerminalAsk
from desk.cli.exits import FAILED, OK, USAGE
from desk.cli.grant import Grant, missing
from desk.cli.journal import Journal, JsonJournal, LogLines, TextJournal
from desk.cli.terminal import Terminal
from desk.host import Host

DRAIN = 2.0
"""Seconds that messages in the mailboxes get to be handled, after the first Ctrl-C. A second one does not wait."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, as it was given."""

    folder: Path
    grants: Sequence[str] = ()
    grant_requested: bool = False
    policy: Path | None = None
    data_dir: Path | None = None
    config: Path | None = None
    ask: bool = False
    observe: bool = False
    audit: Path | None = None
    as_json: bool = False


def run(options: Options) -> int:
    """Host the folder; 0 if all of it ran until it was stopped, 1 if a module was refused, 2 for wrong usage."""
    try:
        grants = [Grant.parse(text) for text in options.grants]
        policy = _policy(options)
        config = read_config(options.config)
        files = modules(options.folder)
    except (PermissionSyntaxError, PolicyError, ValueError, OSError) as error:
        print("\n".join(printable(line) for line in f"desk: {error}".splitlines()), file=sys.stderr)
        return USAGE
    if options.ask and not sys.stdin.isatty():
        print("desk: --ask needs a terminal on standard input", file=sys.stderr)
        return USAGE
    if not files:
        print(
            f"desk: there is no *.wasm in {printable(str(options.folder))}, nor in a folder right below it",
            file=sys.stderr,
        )
        return USAGE
    terminal = Terminal()
    journal = JsonJournal(terminal) if options.as_json else TextJournal(terminal)
    lines = LogLines(journal)
    log = logging.getLogger("desk")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    host = Host(data_dir=options.data_dir, policy=policy, audit=options.audit)
    return anyio.run(_Running(host, options, policy, grants, config, files, journal, lines).serve, backend="trio")


def _policy(options: Options) -> Policy:
    """The operator's, as the options have it. Raises `PolicyError`, `OSError`."""
    ask = TerminalAsk() if options.ask else None
    if options.policy is None:
        return Policy(observe=options.observe, ask=ask)
    said = read_policy_file(options.policy, STANDARD)
    return Policy(
        deny=said.deny,
        ceiling=said.ceiling,
        grants=said.grants,
        observe=options.observe or said.observe,
        ask=ask,
    )


def modules(folder: Path) -> list[Path]:
    """The modules to host, in order. Raises `OSError` if the folder cannot be read; hidden ones are left out."""
    places = [folder, *(each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith("."))]
    found = (each for place in places for each in sorted(place.iterdir()))
    return [each for each in found if each.suffix == ".wasm" and not each.name.startswith(".")]


def read_config(path: Path | None) -> Mapping[str, Mapping[str, object]]:
    """The settings of each extension by its name, from a file in JSON. Raises `ValueError` for another, and `OSError`."""
    if path is None:
        return {}
    expected = 'expected JSON like {"weather-widget": {"city": "Paris"}}'
    try:
        found: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # without its text, which may be a secret's
        raise ValueError(f"{path} cannot be read: {expected}") from None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
        raise ValueError(f"{path} is something else: {expected}")
    return cast("Mapping[str, Mapping[str, object]]", found)


def unset_settings(manifest: Manifest, config: Mapping[str, object]) -> str | None:
    """What is wrong with the settings for an extension, and what to do; None if nothing is."""
    try:
        settings(manifest.config, config)
    except InvalidValue as error:
        said = f"{manifest.name}: {error}"
        name = re.match(r"config\.([a-z0-9_-]*)", error.path)
        if name is None or name[1] not in manifest.config:
            return said
        return f'{said}; give --config FILE with {{"{manifest.name}": {{"{name[1]}": ...}}}}'
    return None


@dataclass(slots=True)
class _Running:
    host: Host
    options: Options
    policy: Policy
    grants: Sequence[Grant]
    config: Mapping[str, Mapping[str, object]]
    files: Sequence[Path]
    journal: Journal
    lines: LogLines
    manifests: dict[str, Manifest] = field(default_factory=dict[str, Manifest])
    """Of those that run."""
    refused: list[str] = field(default_factory=list[str])
    """The names of the others, as far as they say one."""

    async def serve(self) -> int:
        """Load, run until a signal, stop."""
        began = time.monotonic()
        working = anyio.CancelScope()
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop_when_told, signals, working)
                async with self.host as host:
                    with working:
                        await self._load_all(host)
                        if host.extensions():
                            self.journal.running(len(host.extensions()), self.policy.observe)
                            await anyio.sleep_forever()
                    if host.extensions():
                        self.journal.stopping()
                        await host.drain(DRAIN)
                        self.journal.stopped(host.statistics(), host.audit.observed, time.monotonic() - began)
                tasks.cancel_scope.cancel()
        return FAILED if self.refused else OK

    async def _load_all(self, host: Host) -> None:
        for file in self.files:
            place = str(file.relative_to(self.options.folder))
            try:
                await self._load(host, file, place)
            except DeskError as error:
                self.refused.append(self.lines.loading or getattr(error, "name", ""))
                self.journal.refused(place, getattr(error, "reasons", (str(error),)))
            finally:
                self.lines.loading = None
        for grant in self.grants:
            why = grant.useless(self.manifests, self.refused)
            if why is not None:
                self.journal.note(f"--grant {grant} gives nothing: {why}")
        for name in sorted(self.config.keys() - self.manifests.keys()):
            self.journal.note(f"--config has settings of {name}, which {missing(name, self.refused)}")

    async def _load(self, host: Host, file: Path, place: str) -> None:
        admission = await host.inspect(file)
        manifest = admission.check()
        self.journal.loading(place)
        self.lines.loading = manifest.name
        began = time.monotonic()
        config = self.config.get(manifest.name, {})
        unset = unset_settings(manifest, config)
        if unset is not None:
            raise Refused(manifest.name, (unset,))
        extension = await host.load(file, grants=self._granted(manifest), config=config)
        self.manifests[manifest.name] = manifest
        self.journal.loaded(place, extension, time.monotonic() - began)
        rules = self.policy.rules(manifest.name)
        for atom in manifest.requested:
            rule = rules.forbids(atom)
            if rule is not None:
                self.journal.note(f"{manifest.name}: the policy forbids {atom}, or a part of it: {rule}")

    def _granted(self, manifest: Manifest) -> Given:
        if self.options.grant_requested:
            return "requested"
        given = (grant.atom for grant in self.grants if grant.concerns(manifest))
        return PermissionSet((*self.policy.granted(manifest), *given))


async def stop_when_told(signals: AsyncIterator[signal.Signals], working: anyio.CancelScope) -> None:
    """The first signal ends the work in good order, the second one at once."""
    await anext(signals)
    working.cancel()
    await anext(signals)
    raise KeyboardInterrupt
