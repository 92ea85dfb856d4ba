"""The entries of one state file: what SQLite is told, and when it is too much. All of it blocks, and is for a thread.

Keys are stored as their bytes in UTF-8, compared byte by byte: `%`, `_`, `*` and `../` are characters like others, the keys that
begin with a prefix are one range, and their order is that of code points. What all of them take is counted beside them, in
the same transaction, so that a quota costs no look at each.
"""

import os
import sqlite3
import time
from pathlib import Path

from desk.capabilities.codes import CapabilityError, Code

MAX_KEYS = 100_000
"""Entries of one file."""

VERSION = 1
"""What the file says of its own form."""

_PATIENCE = 5.0  # seconds that another process may keep the file to itself
_LOG_KEPT = 4 << 20  # bytes of the write-ahead log that are not given back
_SCHEMA = f"""
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS used (only INTEGER PRIMARY KEY CHECK (only = 1), keys INTEGER NOT NULL, bytes INTEGER NOT NULL);
    INSERT OR IGNORE INTO used VALUES (1, 0, 0);
    PRAGMA user_version = {VERSION};
    COMMIT;
"""


class NewerFile(sqlite3.DatabaseError):
    """A later version of this program has made the file. Never shown to guests."""


class Entries:
    """What is stored, inside of one transaction. `finish` before it is committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """`connection` has begun a transaction that may write."""
        self._connection = connection
        self._used: tuple[int, int] = connection.execute("SELECT keys, bytes FROM used").fetchone()
        self._then = self._used

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        row = self._connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: bytes, value: bytes, quota: int) -> None:
        """Store it. Raises `CapabilityError(OVERLOADED)` if all entries would take more than `quota` bytes, or are too many.

        What makes no more of them and no larger may be stored always.
        """
        old = self._size(key)
        keys, size = self._used
        more_keys = old is None
        more = len(value) + len(key) if old is None else len(value) - old
        if more_keys and keys >= MAX_KEYS:
            raise CapabilityError(Code.OVERLOADED, f"{keys:,} keys are stored, which is the most; delete some first")
        if more > 0 and size + more > quota:
            raise CapabilityError(
                Code.OVERLOADED,
                f"{size:,} bytes are stored, and this is {more:,} more; the limit (storage) is {quota:,}",
            )
        self._connection.execute("REPLACE INTO entries VALUES (?, ?)", (key, value))
        self._used = keys + more_keys, size + more

    def delete(self, key: bytes) -> bool:
        """Forget it; whether there was one."""
        old = self._size(key)
        if old is None:
            return False
        self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
        self._used = self._used[0] - 1, self._used[1] - old - len(key)
        return True

    def swap(self, key: bytes, expected: bytes | None, value: bytes | None, quota: int) -> bool:
        """Store `value`, or delete if it is None, if what is there is `expected`, None for nothing. Whether it was.

        Raises as `put`.
        """
        if self.get(key) != expected:
            return False
        if value is None:
            self.delete(key)
        else:
            self.put(key, value, quota)
        return True

    def page(self, prefix: bytes, after: bytes, most: int) -> list[tuple[str, int]]:
        """The first `most` keys that begin with `prefix` and come after `after`, and how many bytes the value of each has."""
        rows = self._connection.execute(
            # No byte of UTF-8 is as high as the one that ends the range.
            "SELECT key, length(value) FROM entries WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?",
            (prefix, prefix + b"\xff", after, most),
        )
        return [(key.decode(), size) for key, size in rows.fetchall()]

    def finish(self) -> None:
        """Write down what is used."""
        if self._used != self._then:
            self._connection.execute("UPDATE used SET keys = ?, bytes = ?", self._used)

    def _size(self, key: bytes) -> int | None:
        row = self._connection.execute("SELECT length(value) FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]


def open_writer(path: Path) -> sqlite3.Connection:
    """The file at `path`, made if there is none, for transactions that are on the disk when they are committed.

    Raises `sqlite3.Error`, `OSError`.
    """
    _make_directory(path.parent)
    if not path.exists():  # nobody else's to read; closing it would end the locks of whoever has it open
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise NewerFile(f"the file is of version {version}, and this program knows {VERSION}")
        _keep_a_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT}").fetchall()
        if version < VERSION:
            connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """The file, which `open_writer` has opened, for reading what is committed. It waits for nobody. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
        read_small(connection, b"", 0)  # what the first one takes longer, it takes here
    except BaseException:
        connection.close()
        raise
    return connection


def read_small(connection: sqlite3.Connection, key: bytes, small: int) -> tuple[int, bytes | None] | None:
    """The size of the value of `key`, and the value itself if it has no more than `small` bytes; None if there is none."""
    found: list[tuple[int, bytes | None]] = connection.execute(
        "SELECT length(value), CASE WHEN length(value) <= ? THEN value END FROM entries WHERE key = ?", (small, key)
    ).fetchall()  # all: a statement that is not over keeps what it sees
    return found[0] if found else None


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Write ahead to a log. Two processes that begin with that at once exclude each other, and SQLite does not wait then."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _make_directory(path: Path) -> None:
    """Make it, for this user alone, and see to it that it is still there after a loss of power, as the files in it are."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    for each in missing:
        directory = os.open(each.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
