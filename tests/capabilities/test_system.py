"""The desktop as a capability.

The machine that runs the tests has no desktop. What guests may ask is tested with `FakeDesktop`, which remembers what it is told.
The real one is tested for "not available here", with a program in place of a browser, and over a real D-Bus (if there is a
`dbus-daemon`) with services in place of a desktop's.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from extensions import relay

from desk.bus import codec
from desk.bus.envelope import Origin
from desk.capabilities.audit import Audit
from desk.capabilities.broker import Broker
from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.grants import Grants
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.provider import Member, Use
from desk.capabilities.providers import system as module
from desk.capabilities.providers.system import AT_ONCE, MAX_CLIPBOARD, OFTEN, SECONDS, System
from desk.capabilities.providers.system_desktop import SessionDesktop
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

HANG_GUARD = 30.0
ALL = ["notify", "clipboard:read", "clipboard:write", "open-url", "locale", "theme"]
SESSION = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "BROWSER")


class FakeDesktop:
    """Remembers what it was told, and in which thread."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, ...]] = []
        self.clipboard = ""
        self.threads: set[int] = set()
        self.work: Callable[[], None] = lambda: None

    def notify(self, title: str, body: str) -> None:
        self._told(title, body)

    def read_clipboard(self) -> str:
        self._told("read")
        return self.clipboard

    def write_clipboard(self, text: str) -> None:
        self._told("write")
        self.clipboard = text

    def open_url(self, url: str) -> None:
        self._told(url)

    def locale(self) -> str:
        return "de-CH"

    def theme(self) -> Literal["light", "dark", "unknown"]:
        self._told("theme")
        return "dark"

    def _told(self, *what: str) -> None:
        self.threads.add(threading.get_ident())
        self.work()
        self.shown.append(what)


class Asking:
    """Extensions that ask a `System` for things."""

    def __init__(self, system: System, granted: list[str] = ALL) -> None:
        self.audit = Audit()
        self._broker = Broker(system.operations(), self.audit, Tracing.off())
        permissions = PermissionSet.parse({"system": granted})
        self._uses = {
            name: Use(Member(name, Grants(permissions, permissions)), Origin(name)) for name in ("widget", "other")
        }

    async def __call__(self, operation: str, request: object = None, *, who: str = "widget") -> object:
        return await self._broker.perform(f"system.{operation}", request, self._uses[who])

    async def code(self, operation: str, request: object = None, *, who: str = "widget") -> tuple[Code, str]:
        """The error that it is answered."""
        with pytest.raises(CapabilityError) as caught:
            await self(operation, request, who=who)
        return caught.value.guest_code, str(caught.value)


# -- what guests may ask


async def test_each_operation_reaches_the_desktop() -> None:
    """In a thread, but for the locale; the title of a notification says who speaks."""
    desktop = FakeDesktop()
    ask = Asking(System(desktop))
    await ask("notify", {"title": "Rain", "body": "at noon\nand later"})
    await ask("notify", {"title": "Sun"})
    await ask("write_clipboard", {"text": "copied\ttext\r\n"})
    assert await ask("read_clipboard") == "copied\ttext\r\n"
    await ask("open_url", {"url": "https://example.org/a?b=c#d"})
    assert await ask("locale") == "de-CH"
    assert await ask("theme") == "dark"
    assert desktop.shown == [
        ("widget: Rain", "at noon\nand later"),
        ("widget: Sun", ""),
        ("write",),
        ("read",),
        ("https://example.org/a?b=c#d",),
        ("theme",),
    ]
    assert threading.get_ident() not in desktop.threads


@pytest.mark.parametrize(
    ("operation", "request_", "permission"),
    [
        ("notify", {"title": "a"}, "notify"),
        ("read_clipboard", None, "clipboard:read"),
        ("write_clipboard", {"text": "a"}, "clipboard:write"),
        ("open_url", {"url": "https://example.org"}, "open-url"),
        ("locale", None, "locale"),
        ("theme", None, "theme"),
    ],
)
async def test_each_takes_its_own_permission(operation: str, request_: object, permission: str) -> None:
    """With all others it is denied, and the desktop is not asked; with it alone, it is done. The audit has both."""
    desktop = FakeDesktop()
    others = Asking(System(desktop), [each for each in ALL if each != permission])
    assert (await others.code(operation, request_))[0] is Code.DENIED
    assert desktop.shown == []
    alone = Asking(System(desktop), [permission])
    await alone(operation, request_)
    assert [(each.permission, each.allowed) for each in (*others.audit.records, *alone.audit.records)] == [
        (f"system {permission}", False),
        (f"system {permission}", True),
    ]


async def test_no_character_of_a_notification_does_anything() -> None:
    """Controls, direction marks and what is invisible are escaped, but for the line feeds of the body."""
    desktop = FakeDesktop()
    await Asking(System(desktop))("notify", {"title": "a\n\x1b[2J\u202eb", "body": "x\r\ny\u200b\x00z"})
    assert desktop.shown == [("widget: a\\n\\x1b[2J\\u202eb", "x\\r\ny\\u200b\\x00z")]


@pytest.mark.parametrize(
    "request_",
    [
        {"title": ""},
        {"title": "a" * 201},
        {"title": "a", "body": "b" * 2_001},
        {"title": 1},
        {},
        {"title": "a", "icon": "x"},
    ],
    ids=str,
)
async def test_notifications_are_bounded(request_: object) -> None:
    """What is too long, or not of the type, is not shown."""
    desktop = FakeDesktop()
    assert (await Asking(System(desktop)).code("notify", request_))[0] is Code.INVALID
    assert desktop.shown == []


@pytest.mark.parametrize(("operation", "key"), [("notify", "title"), ("open_url", "url")])
async def test_a_person_cannot_be_flooded(operation: str, key: str) -> None:
    """So many in ten seconds, of each extension by itself; the next is answered `overloaded`."""
    now = 0.0
    desktop = FakeDesktop()
    ask = Asking(System(desktop, clock=lambda: now))
    for _ in range(OFTEN):
        await ask(operation, {key: "https://example.org"})
    assert (await ask.code(operation, {key: "https://example.org"}))[0] is Code.OVERLOADED
    await ask(operation, {key: "https://example.org"}, who="other")
    now = SECONDS / OFTEN
    await ask(operation, {key: "https://example.org"})
    assert (await ask.code(operation, {key: "https://example.org"}))[0] is Code.OVERLOADED
    assert len(desktop.shown) == OFTEN + 2


async def test_rates_of_extensions_that_come_and_go_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is forgotten as a whole."""
    monkeypatch.setattr(module, "_SOURCES", 1)
    ask = Asking(System(FakeDesktop()))
    for _ in range(2 * OFTEN):
        await ask("notify", {"title": "a"})
        await ask("notify", {"title": "a"}, who="other")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "HTTPS://Example.ORG:8080/a/b;c=(d)/%41?q='x'&$y=*!#frag,ment",
        "http://[::1]:80/",
        "https://192.0.2.1?x",
        "https://example.org/" + "a" * 2_028,
    ],
)
async def test_addresses_that_are_opened(url: str) -> None:
    """As they are."""
    desktop = FakeDesktop()
    await Asking(System(desktop))("open_url", {"url": url})
    assert desktop.shown == [(url,)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.org",
        "https:example.org",
        "https://",
        "https:///etc/passwd",
        "https://user@example.org",
        "https://user:password@example.org/",
        "https://example.org\\@evil.example/",
        "https://example.org:port/",
        "https://example.org/a b",
        "https://example.org/\n--help",
        "https://example.org/\r\n",
        "https://example.org\n",
        " https://example.org",
        "-https://example.org",
        'https://example.org/"><script>',
        "https://example.org/`id`",
        "https://example.org/{a|b}^",
        "https://ex\u00e4mple.org/",
        "https://example.org/\u202e",
        "https://example.org\x00.evil",
        "https://example.org/" + "a" * 2_029,
    ],
    ids=ascii,
)
async def test_addresses_that_are_not(url: str) -> None:
    """Other schemes, a user name, anything but the characters of URLs, too long ones."""
    desktop = FakeDesktop()
    assert (await Asking(System(desktop)).code("open_url", {"url": url}))[0] is Code.INVALID
    assert desktop.shown == []


@pytest.mark.parametrize("text", ["\x1b[201~rm -rf ~\n", "\x00", "\x07", "\x7f", "\x9b31m", "\x0b"], ids=ascii)
async def test_what_is_put_into_the_clipboard_does_nothing_when_it_is_pasted(text: str) -> None:
    """Control characters other than tab and line ends would be obeyed by a terminal: they are refused."""
    desktop = FakeDesktop()
    assert (await Asking(System(desktop)).code("write_clipboard", {"text": text}))[0] is Code.INVALID
    assert desktop.shown == []


async def test_the_clipboard_is_bounded_both_ways() -> None:
    """In bytes of UTF-8; what is larger is refused, not cut."""
    desktop = FakeDesktop()
    ask = Asking(System(desktop))
    await ask("write_clipboard", {"text": "x" * MAX_CLIPBOARD})
    assert await ask("read_clipboard") == "x" * MAX_CLIPBOARD
    assert (await ask.code("write_clipboard", {"text": "\u00e9" * (MAX_CLIPBOARD // 2 + 1)}))[0] is Code.TOO_LARGE
    desktop.clipboard += "x"
    assert (await ask.code("read_clipboard"))[0] is Code.TOO_LARGE


async def test_a_desktop_that_hangs_holds_up_nobody_else() -> None:
    """Who waits may be cancelled; a few may wait at a time, the next is `overloaded`; when it goes on, so do others."""
    desktop = FakeDesktop()
    answers = threading.Event()
    waiting = threading.Semaphore(0)

    def hang() -> None:
        waiting.release()
        assert answers.wait(HANG_GUARD)

    desktop.work = hang
    ask = Asking(System(desktop))
    try:
        with anyio.fail_after(HANG_GUARD):
            async with anyio.create_task_group() as tasks:
                for _ in range(AT_ONCE):
                    tasks.start_soon(ask, "theme")
                    assert await anyio.to_thread.run_sync(waiting.acquire)
                tasks.cancel_scope.cancel()
            assert (await ask.code("theme"))[0] is Code.OVERLOADED
            assert await ask("locale") == "de-CH"
    finally:
        answers.set()
    desktop.work = lambda: None
    with anyio.fail_after(HANG_GUARD):
        while True:
            with contextlib.suppress(CapabilityError):
                assert await ask("theme") == "dark"
                return


async def test_a_desktop_that_fails_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """The guest learns nothing of the error, the log has it."""

    def fail() -> None:
        raise RuntimeError("/home/someone/.Xauthority")

    desktop = FakeDesktop()
    desktop.work = fail
    code, message = await Asking(System(desktop)).code("notify", {"title": "a"})
    assert (code, message) == (Code.UNAVAILABLE, "not available here: the desktop failed")
    assert ".Xauthority" in caplog.text


async def test_a_guest_asks(tmp_path: Path) -> None:
    """From wasm, with the grant of its operator, to the desktop; an operation without parameters takes any payload."""
    desktop = FakeDesktop()
    async with Host(cache_dir=tmp_path, providers=System(desktop).operations()) as host:
        await host.load(relay("widget", 'system: ["notify", "locale"]'), grants="requested")

        async def asked(capability: str, request: object) -> Any:
            payload = codec.encode(request)
            return codec.decode(await host.call("widget", "ask", capability, payload))  # type: ignore[arg-type]

        assert await asked("cap.system.notify", {"title": "Rain"}) == {"ok": None}
        assert await asked("cap.system.locale", {}) == {"ok": "de-CH"}
        assert (await asked("cap.system.theme", None))["error"]["code"] == Code.DENIED
    assert desktop.shown == [("widget: Rain", "")]


# -- the real one


@pytest.fixture
def _nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session, whoever runs the tests."""
    for name in (*SESSION, "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_nothing")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a session")
@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("notify", {"title": "a"}),
        ("read_clipboard", None),
        ("write_clipboard", {"text": "a"}),
        ("open_url", {"url": "https://example.org"}),
        ("locale", None),
        ("theme", None),
    ],
)
async def test_where_there_is_no_desktop_that_is_the_answer(operation: str, request_: object) -> None:
    """`unavailable`, with the reason."""
    code, message = await Asking(System()).code(operation, request_)
    assert code is Code.UNAVAILABLE
    assert message.startswith("not available here: ")


@pytest.mark.parametrize("package", ["jeepney", "copykitten"])
async def test_where_the_extra_is_not_installed_that_is_the_answer(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`unavailable`, with what to install; nothing is imported before."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("DISPLAY", ":9999")
    ask = Asking(System())
    for operation, request in {
        "jeepney": (("notify", {"title": "a"}), ("theme", None)),
        "copykitten": (("read_clipboard", None), ("write_clipboard", {"text": "a"})),
    }[package]:
        code, message = await ask.code(operation, request)
        assert code is Code.UNAVAILABLE
        assert "the extra `desktop`" in message


@pytest.mark.usefixtures("_nothing")
@pytest.mark.skipif(sys.platform != "linux", reason="another clipboard")
async def test_a_display_that_does_not_answer_has_no_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """`copykitten` is asked, and its error is an answer. In a process of its own: it looks for the display only once."""
    program = (
        "from desk.capabilities.codes import CapabilityError\n"
        "from desk.capabilities.providers.system_desktop import SessionDesktop\n"
        "for ask in (SessionDesktop().read_clipboard, lambda: SessionDesktop().write_clipboard('x')):\n"
        "    try: ask()\n"
        "    except CapabilityError as error: print(error)\n"
    )
    monkeypatch.setenv("DISPLAY", ":9999")
    done = await anyio.run_process([sys.executable, "-c", program])
    assert done.stdout.decode().splitlines() == [
        "not available here: there is no clipboard, or no text in it",
        "not available here: there is no clipboard",
    ]


@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "en_US.UTF-8"}, "en-US"),
        ({"LANG": "de_CH.UTF-8@euro", "LC_MESSAGES": "fr"}, "fr"),
        ({"LC_ALL": "es_419", "LANG": "de"}, "es-419"),
        ({"LC_ALL": "", "LANG": "ast_ES.utf8"}, "ast-ES"),
    ],
)
async def test_the_language_of_the_session(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As POSIX looks for it, written as the web does."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert SessionDesktop().locale() == expected


@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize("language", ["C", "C.UTF-8", "POSIX", "en_US\n", "/etc/passwd", "e"])
async def test_a_language_that_is_none_is_not_there(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but language and region gets to a guest."""
    monkeypatch.setenv("LANG", language)
    with pytest.raises(CapabilityError, match="the session has no language"):
        SessionDesktop().locale()


@pytest.mark.usefixtures("_nothing")
async def test_an_address_gets_to_the_browser_past_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one argument, whatever is in it. A browser that fails is not available."""
    url = "https://example.org/$(id);touch&x='y'*~!(%41)"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > "{tmp_path}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    await Asking(System())("open_url", {"url": url})
    assert (tmp_path / "opened").read_text().splitlines() == ["1", url]
    browser.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    code, message = await Asking(System()).code("open_url", {"url": url})
    assert (code, message) == (Code.UNAVAILABLE, "not available here: no browser could be started")


class Services:
    """What stands in for a desktop's services on a D-Bus: it answers what it is told to, and remembers what it was asked."""

    def __init__(self, names: list[str], answers: dict[str, tuple[str, tuple[object, ...]]]) -> None:
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import open_dbus_connection

        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self._answers = answers
        self._connection: Any = open_dbus_connection()
        for name in names:
            self._connection.send_and_get_reply(message_bus.RequestName(name), timeout=HANG_GUARD)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._over = False
        self._thread.start()

    def _serve(self) -> None:
        from jeepney import HeaderFields, MessageType, new_error, new_method_return

        while not self._over:
            try:
                message = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            if message.header.message_type is not MessageType.method_call:
                continue
            method = message.header.fields[HeaderFields.member]
            self.asked.append((method, message.body))
            answer = self._answers.get(method)
            reply = (
                new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")
                if answer is None
                else new_method_return(message, *answer)
            )
            self._connection.send(reply)

    def close(self) -> None:
        """End it."""
        self._over = True
        self._thread.join(HANG_GUARD)
        self._connection.close()


NOTIFICATIONS, PORTAL = "org.freedesktop.Notifications", "org.freedesktop.portal.Desktop"


@pytest.fixture
def _session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _nothing: None) -> Iterator[None]:
    """A session with a D-Bus of its own, and nothing else."""
    daemon = shutil.which("dbus-daemon")
    if daemon is None:
        pytest.skip("needs dbus-daemon")
    address = f"unix:path={tmp_path}/bus"
    with subprocess.Popen(
        [daemon, "--session", "--nofork", "--nopidfile", f"--address={address}", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_DATA_DIRS": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"unix:path=")
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.usefixtures("_session")
@pytest.mark.parametrize(
    ("features", "shown"),
    [(["body"], "1 < 2 & <b>3</b>"), (["body", "body-markup"], "1 &lt; 2 &amp; &lt;b&gt;3&lt;/b&gt;")],
)
async def test_a_notification_goes_over_the_sessions_bus(features: list[str], shown: str) -> None:
    """As plain text, also where the desktop would read markup: no links, no pictures."""
    services = Services([NOTIFICATIONS], {"GetCapabilities": ("as", (features,)), "Notify": ("u", (7,))})
    try:
        await Asking(System())("notify", {"title": "Rain", "body": "1 < 2 & <b>3</b>"})
    finally:
        services.close()
    assert services.asked[-1] == ("Notify", ("desk", 0, "", "widget: Rain", shown, [], {}, -1))


@pytest.mark.usefixtures("_session")
@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (("u", 0), "unknown"),
        (("u", 1), "dark"),
        (("u", 2), "light"),
        (("v", ("u", 1)), "dark"),
        (("u", 99), "unknown"),
        (("s", "dark"), "unknown"),
        (("as", ["x"]), "unknown"),
    ],
)
async def test_the_theme_comes_from_the_portal(variant: tuple[str, object], expected: str) -> None:
    """Dark, light, or whatever else it says: unknown."""
    services = Services([PORTAL], {"Read": ("v", (variant,))})
    try:
        assert await Asking(System())("theme") == expected
    finally:
        services.close()
    assert services.asked == [("Read", ("org.freedesktop.appearance", "color-scheme"))]


@pytest.mark.usefixtures("_session")
async def test_services_that_are_not_there_are_not_available() -> None:
    """A bus without them, and one with a service that answers with an error."""
    ask = Asking(System())
    assert await ask.code("notify", {"title": "a"}) == (
        Code.UNAVAILABLE,
        f"not available here: nobody answers as {NOTIFICATIONS}",
    )
    services = Services([PORTAL], {})
    try:
        assert await ask.code("theme") == (Code.UNAVAILABLE, f"not available here: nobody answers as {PORTAL}")
    finally:
        services.close()


@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize(
    "address", ["", "nonsense", "tcp:host=localhost,port=1", "unix:path=/nonexistent/bus", "unix:x=y"]
)
async def test_an_address_of_a_bus_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is wrong, there is no D-Bus; `XDG_RUNTIME_DIR` is where it is usually."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    assert await Asking(System()).code("theme") == (Code.UNAVAILABLE, "not available here: the session has no D-Bus")
