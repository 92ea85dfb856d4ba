"""Give extensions access to a table of the app's own, by permission: the capability `notes`, a class of a few lines.

The guest is examples/notebook, in C; it needs clang, lld and llvm to be built. From the root of the repository:

    sh examples/notebook/build.sh
    .venv/bin/python examples/custom_capability.py
"""

import sqlite3
import sys
from pathlib import Path

import trio

from desk.actors.errors import GuestFailed
from desk.host import Capability, CapabilityError, Code, Host, PermissionSyntaxError, operation

NOTEBOOK = Path(__file__).parent / "notebook" / "notebook.wasm"


class Notes(Capability):
    """The table `notes`, one topic at a time. Permissions are `notes: ["read:shopping", "write:*"]`."""

    name = "notes"

    def __init__(self, table: sqlite3.Connection) -> None:
        """`table` has a table `notes` with the columns `topic` and `line`."""
        self._table = table

    def parse(self, text: str) -> tuple[str, str]:
        """A verb and a topic: what is neither must not look granted."""
        verb, _, topic = text.partition(":")
        if verb not in ("read", "write") or not topic:
            raise PermissionSyntaxError("no such permission", "read:TOPIC or write:TOPIC, where * is any topic")
        return verb, topic

    def covers(self, mine: tuple[str, str], wanted: tuple[str, str]) -> bool:
        """`*` covers every topic, reading does not cover writing."""
        return mine[0] == wanted[0] and mine[1] in ("*", wanted[1])

    @operation(needs="read:{topic}")
    async def find(self, topic: str) -> list[str]:
        """The lines of a topic, as a guest gets them from `cap.notes.find`."""
        return [line for (line,) in self._table.execute("SELECT line FROM notes WHERE topic = ? LIMIT 100", (topic,))]

    @operation(needs="write:{topic}")
    async def add(self, topic: str, line: str) -> None:
        """One more line, unless the topic is full. What is raised here, the guest is told."""
        if len(await self.find(topic)) == 100:
            raise CapabilityError(Code.OVERLOADED, "a topic has at most 100 lines")
        self._table.execute("INSERT INTO notes VALUES (?, ?)", (topic, line))


async def main(module: Path = NOTEBOOK) -> None:
    """Say what an extension may do with the table: without a grant, with one, and after it is taken back."""
    table = sqlite3.connect(":memory:", isolation_level=None)
    table.execute("CREATE TABLE notes (topic TEXT, line TEXT)")
    table.executemany("INSERT INTO notes VALUES (?, ?)", [("shopping", "milk"), ("diary", "Dear diary,")])

    async with Host(capabilities=[Notes(table)]) as host:

        async def say(export: str, *arguments: str) -> None:
            try:
                result = await host.call("notebook", export, *arguments)
            except GuestFailed as error:  # the denial, which the guest passes on
                result = error.message
            print(f"{export}{arguments}: {result}")

        await host.load(module)
        await say("lines", "shopping")

        host.grants.give("notebook", {"notes": ["read:*", "write:shopping"]})
        await say("lines", "shopping")
        await say("write", "shopping", "bread")
        await say("lines", "shopping")
        await say("lines", "diary")  # granted, but the manifest does not ask for it: both are needed

        host.grants.revoke("notebook", {"notes": ["write:*"]})
        await say("write", "shopping", "caviar")
    table.close()


if __name__ == "__main__":
    if not NOTEBOOK.exists():
        sys.exit(f"build the guest first: sh {NOTEBOOK.parent}/build.sh")
    trio.run(main)
