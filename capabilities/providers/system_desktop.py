"""The session that the host runs in, as far as it has a desktop.

Notifications and theme go over the session's D-Bus (freedesktop.org) with the package `jeepney`, the clipboard is `copykitten`'s:
both come with the extra `desktop`, and are looked for when they are needed. Browser and language are the standard library's.
Whatever is missing is `CapabilityError(UNAVAILABLE)`, "not available here: …".
"""

import html
import importlib
import os
import re
import sys
import webbrowser
from typing import Any, Literal, cast

from desk.capabilities.codes import CapabilityError, Code

ANSWERS_WITHIN = 5.0
"""Seconds that a service on the D-Bus has for an answer."""

_NOTIFICATIONS = ("/org/freedesktop/Notifications", "org.freedesktop.Notifications", "org.freedesktop.Notifications")
_SETTINGS = ("/org/freedesktop/portal/desktop", "org.freedesktop.portal.Desktop", "org.freedesktop.portal.Settings")
_LOCALE = re.compile(r"([a-z]{2,3})(?:_([A-Z]{2}|[0-9]{3}))?(?:[.@].*)?", re.ASCII)


class SessionDesktop:
    """See the module's docstring, and `Desktop` for what each method does."""

    def notify(self, title: str, body: str) -> None:
        """By `org.freedesktop.Notifications`."""
        with _SessionBus() as bus:
            (features,) = bus.call(_NOTIFICATIONS, "GetCapabilities")
            text = html.escape(body, quote=False) if "body-markup" in features else body
            bus.call(_NOTIFICATIONS, "Notify", "susssasa{sv}i", ("desk", 0, "", title, text, [], {}, -1))

    def read_clipboard(self) -> str:
        """Fails if there is none, or no text in it."""
        copykitten = _clipboard()
        try:
            return copykitten.paste()
        except copykitten.CopykittenError:
            raise not_here("there is no clipboard, or no text in it") from None

    def write_clipboard(self, text: str) -> None:
        """On X11 and Wayland it is there as long as the host runs."""
        copykitten = _clipboard()
        try:
            copykitten.copy(text)
        except copykitten.CopykittenError:
            raise not_here("there is no clipboard") from None

    def open_url(self, url: str) -> None:
        """With the browser of the session, or what `BROWSER` says; never with one that runs in this terminal."""
        if not os.environ.get("BROWSER"):
            _need_a_screen()
        try:
            browser = webbrowser.get()
        except webbrowser.Error:
            raise not_here("there is no browser") from None
        in_terminal = type(browser) is webbrowser.GenericBrowser and not os.environ.get("BROWSER")
        if in_terminal or not browser.open(url):
            raise not_here("no browser could be started")

    def locale(self) -> str:
        """From `LC_ALL`, `LC_MESSAGES`, `LANG`, the first that is set."""
        said = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
        found = _LOCALE.fullmatch(said)
        if found is None:
            raise not_here("the session has no language")
        return "-".join(filter(None, found.groups()))

    def theme(self) -> Literal["light", "dark", "unknown"]:
        """By `org.freedesktop.portal.Settings`."""
        with _SessionBus() as bus:
            answer: object = bus.call(_SETTINGS, "Read", "ss", ("org.freedesktop.appearance", "color-scheme"))
        while type(answer) is tuple:  # a variant, (signature, value), which some put into another one
            answer = cast("tuple[object, ...]", answer)[-1]
        return "dark" if answer == 1 else "light" if answer == 2 else "unknown"


def not_here(why: str) -> CapabilityError:
    """The error for what this session does not have."""
    return CapabilityError(Code.UNAVAILABLE, f"not available here: {why}")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise not_here("it comes with the extra `desktop` of desk-ext, which is not installed") from None


def _need_a_screen() -> None:
    if sys.platform == "linux" and not (os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")):
        raise not_here("this is no graphical session")


def _clipboard() -> Any:
    _need_a_screen()
    return _package("copykitten")


class _SessionBus:
    """One connection to the session's D-Bus: made, used for a question or two, and closed."""

    def __init__(self) -> None:
        self._jeepney = _package("jeepney")
        blocking = _package("jeepney.io.blocking")
        try:
            self._connection: Any = blocking.open_dbus_connection(_address(), auth_timeout=ANSWERS_WITHIN)
        except (OSError, ValueError, RuntimeError, StopIteration, self._jeepney.AuthenticationError):
            raise not_here("the session has no D-Bus") from None

    def __enter__(self) -> "_SessionBus":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(
        self, service: tuple[str, str, str], method: str, signature: str = "", body: tuple[object, ...] = ()
    ) -> Any:
        """What it answers, a tuple."""
        address = self._jeepney.DBusAddress(service[0], service[1], service[2])
        message = self._jeepney.new_method_call(address, method, signature or None, body)
        try:
            reply = self._connection.send_and_get_reply(message, timeout=ANSWERS_WITHIN)
            return self._jeepney.wrappers.unwrap_msg(reply)
        except (OSError, self._jeepney.DBusErrorResponse):
            raise not_here(f"nobody answers as {service[1]}") from None


def _address() -> str:
    said = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if said:
        return said
    directory = os.environ.get("XDG_RUNTIME_DIR")
    if directory:
        return f"unix:path={directory}/bus"
    raise ValueError("no session")
