"""The desktop around the host: notifications, clipboard, browser, language, theme.

A person sits there, and what a guest says to them is said under its own name: the title of a notification begins with it. Texts
are bounded and escaped, an address is one that every program reads alike, and nobody can be flooded with either. What asks the
desktop may take long, so it is done in threads, a few at a time; one that never answers is left behind.

Many hosts have no desktop, or not all of it. That is an answer like others: `unavailable`, "not available here: …".
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Annotated, Literal, Protocol, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from desk.bus.ron.text import printable
from desk.bus.types.syntax import parse_type_text
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, operation
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.provider import Use
from desk.capabilities.providers.system_desktop import SessionDesktop
from desk.capabilities.system_atoms import SystemAtom
from desk.traces.log_rate import LogRate

log = logging.getLogger("desk.capabilities")

MAX_CLIPBOARD = 1 << 20
"""Bytes of a text in UTF-8 that is read from the clipboard or written to it."""

OFTEN, SECONDS = 5, 10.0
"""How many notifications an extension may show in so many seconds; and how many addresses it may open."""

AT_ONCE = 4
"""Requests to the desktop at one time, of all extensions."""

Theme: TypeAlias = Literal["light", "dark", "unknown"]

_SOURCES = 1_000  # extensions whose notifications are counted
_URL = re.compile(
    r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][a-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?",
    re.IGNORECASE | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_TITLE = parse_type_text("string(1..=200)")
_BODY = parse_type_text("string(..=2000)")
_ADDRESS = parse_type_text("string(1..=2048)")

_T = TypeVar("_T")


class Desktop(Protocol):
    """What there is around the host. Every method may block, runs in any thread, and raises `CapabilityError(UNAVAILABLE)`."""

    def notify(self, title: str, body: str) -> None:
        """Show a notification. Both are plain text; only `body` has line feeds."""
        ...

    def read_clipboard(self) -> str:
        """The text in the clipboard."""
        ...

    def write_clipboard(self, text: str) -> None:
        """Put a text into the clipboard."""
        ...

    def open_url(self, url: str) -> None:
        """Show an address in the browser of the person who sits there."""
        ...

    def locale(self) -> str:
        """Language and perhaps region, as BCP 47 writes them: `de`, `en-US`. Does not block."""
        ...

    def theme(self) -> Theme:
        """Whether that person likes windows to be light or dark."""
        ...


class System(Capability):
    """See the module's docstring."""

    name = "system"

    def __init__(self, desktop: Desktop | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`desktop` is by default the session that the host runs in. `clock` tells seconds."""
        self._desktop = desktop or SessionDesktop()
        self._clock = clock
        self._rates: dict[tuple[str, str], LogRate] = {}
        self._room = threading.Semaphore(AT_ONCE)

    def permission(self, text: str) -> Atom:
        """Like `clipboard:read`."""
        return SystemAtom.parse(text)

    @operation(needs="notify")
    async def notify(self, title: Annotated[str, _TITLE], use: Use, body: Annotated[str, _BODY] = "") -> None:
        """Show a notification, whose title says which extension it is from."""
        self._take(use, "notifications")
        lines = "\n".join(map(printable, body.split("\n")))
        await self._ask(lambda: self._desktop.notify(f"{use.extension}: {printable(title)}", lines))

    @operation(needs="clipboard:read")
    async def read_clipboard(self) -> str:
        """The text in the clipboard."""
        text = await self._ask(self._desktop.read_clipboard)
        _check_size(text)
        return text

    @operation(needs="clipboard:write")
    async def write_clipboard(self, text: str) -> None:
        """Put a text into the clipboard. It has no control characters but tab and line ends: terminals obey what is pasted."""
        _check_size(text)
        if found := _CONTROL.search(text):
            raise CapabilityError(
                Code.INVALID,
                f"the control character U+{ord(found[0]):04X} in a text; only tab and line ends may be in it",
            )
        await self._ask(lambda: self._desktop.write_clipboard(text))

    @operation(needs="open-url")
    async def open_url(self, url: Annotated[str, _ADDRESS], use: Use) -> None:
        """Show an address in the browser."""
        if _URL.fullmatch(url) is None:
            raise CapabilityError(
                Code.INVALID,
                "no address to open; expected http:// or https://, a host without a user, in the characters of URLs",
            )
        self._take(use, "addresses")
        await self._ask(lambda: self._desktop.open_url(url))

    @operation(needs="locale")
    async def locale(self) -> str:
        """Language and perhaps region, as BCP 47 writes them: `de`, `en-US`."""
        return self._desktop.locale()

    @operation(needs="theme")
    async def theme(self) -> Theme:
        """Whether windows are to be light or dark."""
        return await self._ask(self._desktop.theme)

    def _take(self, use: Use, what: str) -> None:
        """Count one more of `what`. Raises `CapabilityError(OVERLOADED)` if it is too many."""
        key = use.extension, what
        if key not in self._rates and len(self._rates) >= _SOURCES:
            self._rates.clear()
        rate = self._rates.setdefault(key, LogRate(OFTEN / SECONDS, OFTEN, self._clock))
        if not rate.take():
            raise CapabilityError(Code.OVERLOADED, f"too many {what}; at most {OFTEN} are shown in {SECONDS:g} seconds")

    async def _ask(self, work: Callable[[], _T]) -> _T:
        """Call `work` in a thread, which goes on if nobody wants its result any more."""

        def held() -> _T:
            if not self._room.acquire(blocking=False):
                raise CapabilityError(Code.OVERLOADED, f"{AT_ONCE} requests to the desktop wait for an answer already")
            try:
                return work()
            finally:
                self._room.release()

        try:
            return await anyio.to_thread.run_sync(held, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
        except CapabilityError:
            raise
        except Exception:
            log.exception("the desktop failed")
            raise CapabilityError(Code.UNAVAILABLE, "not available here: the desktop failed") from None


def _check_size(text: str) -> None:
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_CLIPBOARD:
        raise CapabilityError(
            Code.TOO_LARGE, f"a text of {size:,} bytes; the clipboard is for at most {MAX_CLIPBOARD:,}"
        )
