"""The audit on disk: real files, also where the disk is full or gone. Nobody waits for it, and nothing is lost unsaid."""

import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.capabilities import audit_file
from desk.capabilities.audit import AuditRecord
from desk.capabilities.audit_file import QUEUED, AuditFile
from desk.capabilities.audit_lines import Gap, parse_line, read_audit, record_line
from desk.capabilities.audit_rates import AuditRates
from desk.capabilities.rotating_file import RotatingFile

HANG_GUARD = 30.0
FREELY = 1_000_000


def decided(number: int, extension: str = "widget", *, allowed: bool = True) -> AuditRecord:
    """A decision that can be told from others."""
    return AuditRecord(float(number), extension, (extension,), f"bus publish:a{number}", allowed, "why", None)


def entries(path: Path) -> list[AuditRecord | Gap]:
    """What a file says, without the time of the gaps."""
    return [each._replace(time=0.0) if isinstance(each, Gap) else each for each in read_audit(path)]


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + HANG_GUARD
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def freely() -> AuditRates:
    """Rates that hold nobody back."""
    return AuditRates(FREELY, FREELY)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process can become larger than `size` bytes: what a disk that is full does to one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


# -- the file


def test_what_is_decided_stands_in_the_file_in_order(tmp_path: Path) -> None:
    """It is there soon after, without a close; the file is nobody else's to read, whatever the mask says."""
    path = tmp_path / "audit.jsonl"
    mask = os.umask(0)
    try:
        with AuditFile(path) as file:
            for number in range(500):
                file(decided(number, allowed=number % 2 == 0))
            until(lambda: len(entries(path)) == 500)
            assert repr(file) == "<AuditFile audit.jsonl: 500 written, 0 dropped>"
            file(decided(500))
    finally:
        os.umask(mask)
    assert entries(path) == [decided(number, allowed=number % 2 == 0) for number in range(501)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().isascii()


def test_a_file_is_continued(tmp_path: Path) -> None:
    """A line that the last writer did not end is ended, and becomes one that cannot be read; the mode is put right."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(record_line(decided(1)) + record_line(decided(2))[:40])
    path.chmod(0o644)
    with AuditFile(path) as file:
        file(decided(3))
    first, torn, third = entries(path)
    assert (first, third) == (decided(1), decided(3))
    assert isinstance(torn, Gap)
    assert torn.why == "unreadable"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_stands_at_its_place_is_used_only_if_it_is_a_file_of_our_own(tmp_path: Path) -> None:
    """A link would let whoever made it choose what we write to; a pipe would make us wait for its reader."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "symlink").symlink_to(victim)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "hardlink").hardlink_to(victim)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name, reason in {
        "symlink": "symbolic link",
        "dangling": "symbolic link",
        "hardlink": "not a plain file of our own",
        "fifo": "not a plain file of our own",
        "directory": "Is a directory",
    }.items():
        with pytest.raises(OSError, match=reason):
            AuditFile(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        AuditFile(tmp_path / "missing" / "audit.jsonl")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("keep", [0, 2])
def test_a_file_that_others_have_renamed_or_removed_is_begun_anew(tmp_path: Path, keep: int) -> None:
    """As programs that rotate logs do: what comes goes into the old file until that is full, and then into one of the name."""
    path = tmp_path / "audit.jsonl"
    line = record_line(decided(1))
    file = RotatingFile(path, 3 * len(line), keep)
    assert file.write([line] * 2) == 2
    path.rename(tmp_path / "elsewhere")
    assert file.write([line] * 2) == 2
    assert (tmp_path / "elsewhere").read_bytes() == line * 3
    assert path.read_bytes() == line
    path.unlink()
    assert file.write([line] * 3) == 3
    assert path.read_bytes() == line
    file.close()


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """Two would rename each other's files; the second is told so, and may have it when the first is closed."""
    path = tmp_path / "audit.jsonl"
    with AuditFile(path), pytest.raises(OSError, match="is being written by another"):
        AuditFile(path)
    AuditFile(path).close()


# -- rotation


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=60), st.integers(20, 200), st.integers(0, 3))
def test_files_are_bounded_and_what_they_hold_is_the_end_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int, keep: int
) -> None:
    """Read from the oldest to the newest, they are the last lines, whole. None is larger than agreed, unless one line is."""
    path = tmp_path_factory.mktemp("rotating") / "lines"
    lines = [bytes([97 + number % 26]) * size + b"\n" for number, size in enumerate(sizes)]
    file = RotatingFile(path, most, keep)
    assert sum(file.write(lines[start : start + 7]) for start in range(0, len(lines), 7)) == len(lines)
    file.close()
    names = [path.with_name(f"lines.{number}") for number in range(keep, 0, -1)] + [path]
    found = [each for each in names if each.exists()]
    assert sorted(path.parent.iterdir()) == sorted(found)
    for each in found:
        data = each.read_bytes()
        assert len(data) <= most or data.count(b"\n") == 1
    kept = b"".join(each.read_bytes() for each in found)
    assert b"".join(lines).endswith(kept)
    if len(found) <= keep:
        assert kept == b"".join(lines)


def test_older_files_are_numbered_and_forgotten(tmp_path: Path) -> None:
    """`.1` is the one before; each is as closed to others as the first."""
    path = tmp_path / "audit.jsonl"
    line = len(record_line(decided(1)))
    with AuditFile(path, max_bytes=2 * line + 1, keep=2) as file:
        for number in range(9):
            file(decided(number))
    assert entries(path) == [decided(8)]
    assert entries(tmp_path / "audit.jsonl.1") == [decided(6), decided(7)]
    assert entries(tmp_path / "audit.jsonl.2") == [decided(4), decided(5)]
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("most", "keep"), [(0, 1), (-1, 1), (10, -1)])
def test_sizes_that_are_none_are_refused(tmp_path: Path, most: int, keep: int) -> None:
    """Before there is a file."""
    with pytest.raises(ValueError, match="expected max_bytes of 1 or more"):
        AuditFile(tmp_path / "audit.jsonl", max_bytes=most, keep=keep)
    assert list(tmp_path.iterdir()) == []


# -- what is dropped, and said to be


def test_74_a_flood_is_limited_and_said_to_be(tmp_path: Path) -> None:
    """10^5 denied requests of one extension are so many lines, and one that counts the others; what others do is not lost."""
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, rates=AuditRates(1e-6, 50)) as file:
        for number in range(100_000):
            file(decided(number, allowed=False))
        file(decided(0, "other", allowed=False))
        file(decided(1))
        assert file.dropped == 99_950
    found = entries(path)
    written = [each for each in found if isinstance(each, AuditRecord)]
    assert written == [
        *(decided(number, allowed=False) for number in range(50)),
        decided(0, "other", allowed=False),
        decided(1),
    ]
    gaps = [each for each in found if isinstance(each, Gap)]
    assert {(each.extension, each.denied, each.why) for each in gaps} == {("widget", True, "rate")}
    assert sum(each.dropped for each in gaps) == 99_950
    assert str(gaps[-1]).endswith("more denials of widget were not written (too many at once)")


def test_a_flood_is_told_while_it_lasts(tmp_path: Path) -> None:
    """A line says so at once, and then once a second at most, without waiting for the end."""
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, rates=AuditRates(1e-6, 1)) as file:
        for number in range(10):
            file(decided(number))
        until(lambda: Gap(0.0, "widget", False, 9, "rate") in entries(path))
        file(decided(11))
        until(lambda: Gap(0.0, "widget", False, 1, "rate") in entries(path))


def test_a_queue_that_is_full_drops_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk takes long, whoever decides does not wait for it: what does not fit into memory is counted."""
    path = tmp_path / "audit.jsonl"
    slow = threading.Event()
    write = RotatingFile.write

    def stuck(self: RotatingFile, lines: list[bytes]) -> int:
        assert slow.wait(HANG_GUARD)
        return write(self, lines)

    monkeypatch.setattr(RotatingFile, "write", stuck)
    with AuditFile(path, rates=freely()) as file:
        file(decided(0))
        until(lambda: not file._queue)  # the thread has it, and waits  # pyright: ignore[reportPrivateUsage]
        for number in range(QUEUED + 5):
            file(decided(number))
        assert file.dropped == 5
        slow.set()
    found = entries(path)
    assert found.count(Gap(0.0, "widget", False, 5, "queue")) == 1
    assert len(found) == 1 + QUEUED + 1


def test_a_full_disk_drops_counts_and_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No decision fails. When there is room again, writing goes on, with a line that says what is missing."""
    path = tmp_path / "audit.jsonl"
    line = len(record_line(decided(10)))
    with AuditFile(path, rates=freely()) as file:
        with full_disk(3 * line + line // 2):
            for number in range(10, 20):
                file(decided(number, allowed=False))
            until(lambda: file.dropped == 7)
        file(decided(20))
        until(lambda: len(entries(path)) == 6)
    torn = Gap(0.0, "", False, 1, "unreadable")
    found = entries(path)
    assert found[:4] == [*(decided(number, allowed=False) for number in (10, 11, 12)), torn]
    assert sorted(found[4:], key=lambda each: isinstance(each, Gap)) == [
        decided(20),
        Gap(0.0, "widget", True, 7, "disk"),
    ]
    assert [each.levelno for each in caplog.records if "the audit cannot be written" in each.message] == [
        logging.WARNING
    ]


def test_a_directory_that_is_gone_is_survived(tmp_path: Path) -> None:
    """When it is time for a new file and none can be made, decisions are counted, until one can."""
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "audit.jsonl"
    with AuditFile(path, max_bytes=300, keep=9, rates=freely()) as file:
        file(decided(1))
        until(lambda: file.written == 1)
        folder.rename(tmp_path / "moved")
        file(decided(2))
        until(lambda: file.dropped == 1)
        (tmp_path / "moved").rename(folder)
        file(decided(3))
        until(lambda: file.written == 2)
    found = [each for name in folder.iterdir() for each in entries(name)]
    assert decided(3) in found
    assert Gap(0.0, "widget", False, 1, "disk") in found


def test_a_closed_file_takes_nothing_and_raises_nothing(tmp_path: Path) -> None:
    """It may be closed twice; what comes after that is counted. Its thread is gone."""
    file = AuditFile(tmp_path / "audit.jsonl")
    file.close()
    file.close()
    file(decided(1))
    assert (file.written, file.dropped) == (0, 1)
    assert not any(each.name == "desk audit" for each in threading.enumerate())


def test_threads_may_decide_at_the_same_time(tmp_path: Path) -> None:
    """Hosts in several threads may share a file: every decision is a whole line, or counted."""
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, max_bytes=50_000, keep=100, rates=freely()) as file:
        threads = [
            threading.Thread(target=lambda n=n: [file(decided(number, f"e{n}")) for number in range(1_000)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (file.written, file.dropped) == (4_000, 0)
    lines = b"".join(each.read_bytes() for each in tmp_path.iterdir()).splitlines(keepends=True)
    found = [parse_line(line) for line in lines]
    assert len(found) == len(set(found)) == 4_000


def test_an_app_that_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    """The end of the interpreter closes it."""
    path = tmp_path / "audit.jsonl"
    program = (
        "from desk.capabilities.audit import AuditRecord\n"
        "from desk.capabilities.audit_file import AuditFile\n"
        f"file = AuditFile({str(path)!r})\n"
        "for number in range(50): file(AuditRecord(float(number), 'widget', (), 'bus publish:a', True, 'why', None))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=HANG_GUARD)
    assert len(entries(path)) == 50


def test_what_is_lost_of_many_extensions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many names, losses are counted without one."""
    monkeypatch.setattr(audit_file, "_COUNTED", 3)
    monkeypatch.setattr(audit_file, "PAUSE", HANG_GUARD)  # until it is closed
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, rates=AuditRates(1e-6, 0)) as file:
        for number in range(10):
            file(decided(number, f"e{number}"))
    assert entries(path) == [
        Gap(0.0, "", False, 7, "rate"),
        *(Gap(0.0, f"e{number}", False, 1, "rate") for number in range(3)),
    ]
