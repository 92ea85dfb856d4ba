"""The hostile cases 72 to 89 of the security notes, through real guests: what each is answered, and what the audit says of it.

The guest is a relay, which asks for whatever its caller says; the host, the files, the sockets and the name server are real.
What cannot even be read as a request is answered with `invalid`, and decided by nobody: the audit has nothing of it.
"""

import gzip
import os
import socket
import threading
import unicodedata
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.abc
import pytest
from extensions import relay
from loopback import SINK, closed_port, listening
from name_server import name_server

from desk.actors.limits import Limits
from desk.bus import codec
from desk.capabilities.audit import AuditRecord
from desk.capabilities.codes import Code
from desk.capabilities.policy import Policy
from desk.capabilities.prompting import Answer, Question
from desk.capabilities.providers.network import Network
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until a test that hangs fails."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compile cache for all tests here."""
    return tmp_path_factory.mktemp("modules")


class World:
    """A host with a guest `widget`, which gets all that it asks for."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def load(self, permissions: str, name: str = "widget", **terms: Any) -> None:
        await self.host.load(relay(name, permissions), grants="requested", **terms)

    async def raw(self, capability: str, request: Mapping[str, object], by: str = "widget") -> bytes:
        """The very bytes that the guest is answered."""
        answer = await self.host.call(by, "ask", f"cap.{capability}", codec.encode(dict(request)))
        assert isinstance(answer, bytes)
        return answer

    async def ask(self, capability: str, by: str = "widget", /, **request: object) -> Any:
        """What the guest is answered: the value, or the code of an error."""
        answer: Any = codec.decode(await self.raw(capability, request, by))
        return Code(answer["error"]["code"]) if "error" in answer else answer["ok"]

    @property
    def records(self) -> list[AuditRecord]:
        return list(self.host.audit.records)

    def decided(self, permission: str, *, allowed: bool) -> AuditRecord:
        """The last record of the audit, which has to be of this permission."""
        record = self.records[-1]
        assert (record.extension, record.permission, record.allowed) == ("widget", permission, allowed)
        return record


@asynccontextmanager
async def hosting(cache: Path, **more: Any) -> AsyncGenerator[World]:
    """A host that is open."""
    with anyio.fail_after(PATIENCE):
        async with Host(cache_dir=cache, tracing=Tracing.off(), **more) as host:
            yield World(host)


class Secret:
    """A server that must not be reached; or may, and says what it was told to."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret") -> None:
        self.reached: list[bytes] = []
        self.answer = answer

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        self.reached.append(await stream.receive())
        await stream.send(self.answer)


def get(host: str, port: int, path: str = "/") -> dict[str, object]:
    """The request of `network.http`."""
    return {"method": "GET", "url": f"http://{host}:{port}{path}"}


# -- 73 to 75: revoked between, many denials, state


async def test_73_a_grant_revoked_between_check_and_use(cache: Path) -> None:
    """While the guest waits for data of its connection: it is told so at once, its handle is gone, the next request denied."""
    arrived = anyio.Event()

    async def silent(stream: anyio.abc.ByteStream) -> None:
        arrived.set()
        await stream.receive()

    answers: list[object] = []
    async with listening(silent) as port, hosting(cache) as world:
        await world.load(f'network: ["127.0.0.1:{port}"]')
        handle = await world.ask("network.connect", host="127.0.0.1", port=port)

        async def wait() -> None:
            answers.append(await world.ask("network.receive", socket=handle))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await arrived.wait()
            await anyio.wait_all_tasks_blocked()
            assert len(world.records) == 2
            world.host.grants.revoke("widget", {"network": [f"127.0.0.1:{port}"]})
        assert answers == [Code.DENIED]
        assert not world.records[-1].allowed
        assert await world.ask("network.receive", socket=handle) is Code.UNKNOWN
        assert await world.ask("network.connect", host="127.0.0.1", port=port) is Code.DENIED
        assert world.decided(f"network connect:127.0.0.1:{port}", allowed=False).missing == "grant"


async def test_74_ever_new_denials_are_counted_and_ask_nobody_to_death(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The audit has each, the log the first ten, a person a few."""
    asked: list[Question] = []

    async def person(question: Question) -> Answer:
        asked.append(question)
        return "no"

    async with hosting(cache, policy=Policy(ask=person), data_dir=tmp_path) as world:
        await world.host.load(relay("widget", 'state: ["readwrite:notes"]'))
        for number in range(300):
            assert await world.ask("state.get", namespace="notes", key=f"k{number}") is Code.DENIED
        assert world.host.audit.denied == 300
        assert world.decided("state read:notes/k299", allowed=False).missing == "grant"
        assert len(asked) <= 8
        assert sum(record.name == "desk.audit" and record.levelname == "WARNING" for record in caplog.records) <= 11


async def test_75_keys_are_names_and_what_is_stored_has_a_bound(cache: Path, tmp_path: Path) -> None:
    """`../x` is a key like others, a prefix does not escape, and all values together have a bound; no file is elsewhere."""
    async with hosting(cache, data_dir=tmp_path / "data") as world:
        await world.load('state: ["readwrite:notes/mine-*"]', limits=Limits(storage=1 << 20))
        for key in ("../x", "/etc/passwd", "a%", "..\\x"):
            assert await world.ask("state.put", key=key, value=key.encode()) is None
            assert await world.ask("state.get", key=key) == key.encode()
        for key in ("", "a\0b", "e\u0301", "k" * 513):
            assert await world.ask("state.put", key=key, value=b"") is Code.INVALID
        count = len(world.records)
        assert await world.ask("state.put", namespace="notes", key="yours", value=b"") is Code.DENIED
        world.decided("state write:notes/yours", allowed=False)
        assert await world.ask("state.list", namespace="notes", prefix="m") is Code.DENIED
        assert await world.ask("state.put", namespace="../notes", key="mine-1", value=b"") is Code.INVALID
        assert len(world.records) == count + 2
        answers = [await world.ask("state.put", key=f"k{number}", value=bytes(150_000)) for number in range(10)]
        assert answers == [None] * 6 + [Code.OVERLOADED] * 4
        assert os.listdir(tmp_path) == ["data"]
        assert set(os.listdir(tmp_path / "data" / "extensions")) == {"widget"}


# -- 76 to 83: the network

SPELLINGS = (
    *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0", "0127.0.0.1", "127.0.0.1.", "127。0。0。1"),
    *("１２７.0.0.1", "①②⑦.0.0.1", "local\u00adhost", "ⓛocalhost", "127.0.0.1\x00.example.com", "[::ffff:7f00:1]"),
    *("::ffff:127.0.0.1", "0.0.0.0", "[::]", "fe80::1%lo", "a@127.0.0.1", "faß.de", "xn--a\u200d.example"),
)


async def test_76_other_spellings_of_loopback_are_no_hosts(cache: Path) -> None:
    """Nothing is decided, looked up or connected to, whichever way a guest names a host."""
    secret = Secret()
    everything = 'network: ["*:*", "udp:*:*", "0.0.0.0/0:*", "[::/0]:*", "resolve:localhost"]'
    async with listening(secret) as port, hosting(cache) as world:
        await world.load(everything)
        handle = await world.ask("network.open_datagrams")
        for host in SPELLINGS:
            assert await world.ask("network.http", **get(host, port)) is Code.INVALID, host
            assert await world.ask("network.connect", host=host, port=port) is Code.INVALID, host
            assert await world.ask("network.send_to", socket=handle, host=host, port=port, data=b"") is Code.INVALID
            assert await world.ask("network.resolve", name=host) is Code.INVALID, host
        assert world.records == []
    assert secret.reached == []


INSIDE = (
    *("127.0.0.1", "::1", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1"),
    *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1", "fec0::1", "224.0.0.1", "ff02::1"),
)


async def test_77_a_name_never_leads_inside(cache: Path) -> None:
    """In every disguise of an address: allowed by its name, and then denied; both are in the audit."""
    secret = Secret()
    async with (
        listening(secret) as port,
        name_server(*([each] for each in INSIDE)) as dns,
        hosting(cache, providers=Network(resolver=dns.resolver).operations()) as world,
    ):
        await world.load('network: ["*:*"]')
        for number, address in enumerate(INSIDE, 1):
            assert await world.ask("network.http", **get("inside.example.com", port)) is Code.DENIED, address
            denied = world.decided(f"network connect:inside.example.com:{port}", allowed=False)
            assert "inside.example.com resolves to" in denied.reason
            assert world.records[-2].allowed
            assert len(dns.asked) == number
    assert secret.reached == []


async def test_77_a_name_does_not_get_past_a_deny_rule(cache: Path) -> None:
    """A public address that the operator denies, behind a name that is granted: the audit has the rule, the guest has not."""
    async with name_server([SINK]) as dns:
        policy = Policy(deny={"network": [f"[{SINK}]:*"]})
        async with hosting(cache, providers=Network(resolver=dns.resolver).operations(), policy=policy) as world:
            await world.load('network: ["*:*"]')
            raw = await world.raw("network.connect", {"host": "denied.example.com", "port": 80})
            assert b"deny network" not in raw
            denied = world.decided("network connect:denied.example.com:80", allowed=False)
            assert denied.rule == f"deny network connect:[{SINK}]:*"


async def test_78_a_second_answer_of_a_name_server_is_heard_by_nobody(cache: Path) -> None:
    """One look-up for each request: the first leads nowhere, the second is denied, this machine is not reached."""
    secret = Secret()
    async with listening(secret) as port, name_server([SINK], ["127.0.0.1"]) as dns:
        network = Network(resolver=dns.resolver, connect_timeout=0.2)
        async with hosting(cache, providers=network.operations()) as world:
            await world.load('network: ["*:*"]')
            request = get("rebind.example.com", port)
            assert await world.ask("network.http", **request) in (Code.UNAVAILABLE, Code.DEADLINE)
            world.decided(f"network connect:rebind.example.com:{port}", allowed=True)
            assert dns.asked == ["rebind.example.com"]
            assert await world.ask("network.http", **request) is Code.DENIED
            world.decided(f"network connect:rebind.example.com:{port}", allowed=False)
            assert len(dns.asked) == 2
    assert secret.reached == []


async def test_79_a_redirect_is_an_answer_and_leads_nowhere(cache: Path) -> None:
    """To the inside, another port, a file: the guest gets the words, and to follow them takes a permission of its own."""
    secret = Secret()
    async with listening(secret) as inner:
        for target in (f"http://127.0.0.1:{inner}/", "file:///etc/passwd", "http://169.254.169.254/"):
            answer = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            async with listening(Secret(answer)) as port, hosting(cache) as world:
                await world.load(f'network: ["127.0.0.1:{port}"]')
                got = await world.ask("network.http", **get("127.0.0.1", port))
                assert (got["status"], dict(got["headers"])["location"]) == (302, target)
                assert len(world.records) == 1
                expected = Code.INVALID if target.startswith("file") else Code.DENIED
                assert await world.ask("network.http", method="GET", url=target) is expected
                assert [each.allowed for each in world.records] == [True, False][: len(world.records)]
    assert secret.reached == []


async def test_79_proxies_of_the_environment_are_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is connected to is what was decided about."""
    proxy, page = Secret(), Secret()
    async with listening(proxy) as through, listening(page) as port, hosting(cache) as world:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{through}")
        await world.load(f'network: ["127.0.0.1:{port}"]')
        assert (await world.ask("network.http", **get("127.0.0.1", port)))["body"] == b"secret"
        world.decided(f"network connect:127.0.0.1:{port}", allowed=True)
    assert (len(proxy.reached), len(page.reached)) == (0, 1)


async def test_80_answers_without_an_end(cache: Path) -> None:
    """Cut off by bytes, by headers or by time; what is compressed stays so. The audit has each request, and no denial."""
    bomb = gzip.compress(bytes(10 << 20))
    length = b"Content-Length: %d\r\nContent-Encoding: gzip\r\n\r\n" % len(bomb)

    async def hostile(stream: anyio.abc.ByteStream) -> None:
        path = (await stream.receive()).split(b" ")[1]
        match path:
            case b"/bomb":
                await stream.send(b"HTTP/1.1 200 OK\r\n" + length + bomb)
            case b"/headers":
                await stream.send(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 40_000 + b"\r\n")
            case b"/slow":
                await stream.send(b"HTTP/1.1 200 OK\r\n")
                while True:
                    await stream.send(b"a: b\r\n")
                    await anyio.sleep(0.05)
            case _:
                await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    await stream.send(bytes(1 << 16))

    async with listening(hostile) as port, hosting(cache, providers=Network(time_limit=1.0).operations()) as world:
        await world.load(f'network: ["127.0.0.1:{port}"]')
        codes = [await world.ask("network.http", **get("127.0.0.1", port, f"/{way}")) for way in ("x", "headers")]
        assert codes == [Code.TOO_LARGE, Code.TOO_LARGE]
        assert await world.ask("network.http", **get("127.0.0.1", port, "/slow")) is Code.DEADLINE
        assert (await world.ask("network.http", **get("127.0.0.1", port, "/bomb")))["body"] == bomb
        assert [each.allowed for each in world.records] == [True] * 4


async def test_81_headers_say_nothing_but_what_they_seem(cache: Path) -> None:
    """No line ends, not too many, and none of the host's own: nothing is sent, nothing decided."""
    secret = Secret()
    bad: list[list[tuple[str, str]]] = [
        [("a", "b\r\nX-Evil: 1")],
        [("a\r\nX-Evil", "1")],
        [("Host", "evil.example")],
        [("content-length", "3")],
        [("Transfer-Encoding", "chunked")],
        [("Proxy-Authorization", "x")],
        [("a", "b")] * 101,
        [("a", "b")] * 14_000,
    ]
    async with listening(secret) as port, hosting(cache) as world:
        await world.load(f'network: ["127.0.0.1:{port}"]')
        for headers in bad:
            answer = await world.ask("network.http", **get("127.0.0.1", port), headers=headers)
            assert answer in (Code.INVALID, Code.TOO_LARGE), headers[:1]
        assert await world.ask("network.http", method="GET", url=f"http://127.0.0.1:{port}/\r\nX: 1") is Code.INVALID
        # As many as no message of ours may have, so it is written by hand: {headers: [["a", "b"], …]}.
        many = b"\xa1\x67headers\x99\x80\x01" + b"\x82\x61a\x61b" * 32_769
        raw = cast("bytes", await world.host.call("widget", "ask", "cap.network.http", many))
        assert cast("Any", codec.decode(raw))["error"]["code"] == Code.INVALID
        assert (secret.reached, world.records) == ([], [])
        await world.ask("network.http", **get("127.0.0.1", port), headers=[("Authorization", "mine")])
        assert f"Host: 127.0.0.1:{port}\r\n".encode() in secret.reached[0]


async def test_82_the_host_itself_is_a_destination_like_others(cache: Path, tmp_path: Path) -> None:
    """Neither a port that it listens on itself, nor a Unix socket in a directory it may read and write, is reached."""
    control = socket.socket(socket.AF_UNIX)
    inside = tmp_path / "inside"
    inside.mkdir()
    port = closed_port()
    with control:
        control.bind(str(inside / "control"))
        control.listen()
        async with hosting(cache) as world:
            await world.load(f'network: ["listen:127.0.0.1:{port}", "*:*"], filesystem: ["readwrite:{inside}"]')
            assert type(await world.ask("network.listen", address="127.0.0.1", port=port)) is int
            assert await world.ask("network.connect", host="127.0.0.1", port=port) is Code.DENIED
            world.decided(f"network connect:127.0.0.1:{port}", allowed=False)
            for host in (f"{inside}/control", f"unix:{inside}/control", "localhost/../control"):
                assert await world.ask("network.connect", host=host, port=80) is Code.INVALID
            for operation, more in (("read", {}), ("write", {"data": b"x"}), ("remove", {})):
                answer = await world.ask(f"filesystem.{operation}", path=f"{inside}/control", **more)
                assert answer is Code.DENIED, operation
                world.decided(
                    f"filesystem {'read' if operation == 'read' else 'write'}:{inside}/control", allowed=False
                )


async def test_83_listening_takes_the_very_address_and_port(cache: Path) -> None:
    """Not all addresses, not a port of the system's, not one that is taken: in the words that fit each."""
    port = closed_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = taken.getsockname()[1]
        async with hosting(cache) as world:
            await world.load(f'network: ["listen:127.0.0.1:{port},{used}"]')
            assert await world.ask("network.listen", address="0.0.0.0", port=port) is Code.DENIED
            world.decided(f"network listen:0.0.0.0:{port}", allowed=False)
            assert await world.ask("network.listen", address="127.0.0.1", port=1023) is Code.INVALID
            world.decided(f"network listen:0.0.0.0:{port}", allowed=False)
            assert await world.ask("network.listen", address="127.0.0.1", port=used) is Code.UNAVAILABLE
            world.decided(f"network listen:127.0.0.1:{used}", allowed=True)
            assert await world.ask("network.listen", address="localhost", port=port) is Code.INVALID


# -- 84 to 88: files


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A directory that is granted, and one beside it that is not, with a secret."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    return inside, outside


async def test_84_what_is_no_path_is_no_request(cache: Path, places: tuple[Path, Path]) -> None:
    """Invalid, and decided by nobody; names that mean something elsewhere mean nothing here."""
    inside, _ = places
    strange = (
        *("..", "a/../../outside/secret", "a//b", "a/", "./a", "a\0b", "a\\b", "*", "a\nb", "\u202egnp", "n" * 4096),
        unicodedata.normalize("NFD", "é"),
    )
    async with hosting(cache) as world:
        await world.load(f'filesystem: ["readwrite:{inside}"]')
        for name in strange:
            for operation, more in (("read", {}), ("stat", {}), ("write", {"data": b"x"}), ("remove", {})):
                answer = await world.ask(f"filesystem.{operation}", path=f"{inside}/{name}", **more)
                assert answer is Code.INVALID, name
        for path in ("/proc/self/root/etc/passwd", "/PROC/self/environ", "/dev/null", "/", "etc", "\\\\?\\C:\\x", ""):
            assert await world.ask("filesystem.stat", path=path) is Code.INVALID, path
        assert world.records == []
        for name in ("CON", "a:stream", "é"):
            assert await world.ask("filesystem.write", path=f"{inside}/{name}", data=b"x") == 1
            assert world.records[-1].allowed
            assert (inside / name).read_bytes() == b"x"
        assert await world.ask("filesystem.read", path=f"{inside}/{'n' * 300}") is Code.INVALID  # of the file system


async def test_84_a_deny_rule_is_not_got_around_by_another_name(cache: Path, places: tuple[Path, Path]) -> None:
    """Upper case, a directory above, a link in the granted path: the audit has the rule, the guest has not."""
    inside, outside = places
    (inside / "kept").mkdir()
    (inside / "kept" / "secret").write_bytes(b"secret")
    link = outside / "link"
    link.symlink_to(inside)
    policy = Policy(deny={"filesystem": [f"readwrite:{inside}/kept"]})
    async with hosting(cache, policy=policy) as world:
        await world.load(f'filesystem: ["readwrite:{inside}", "readwrite:{link}"]')
        for path in (f"{inside}/kept/secret", f"{inside}/KEPT/secret", f"{link}/kept/secret", f"{link}/Kept/secret"):
            raw = await world.raw("filesystem.read", {"path": path})
            assert cast("Any", codec.decode(raw))["error"]["code"] == Code.DENIED, path
            assert b"deny filesystem" not in raw
            denied = world.decided(f"filesystem read:{path}", allowed=False)
            assert denied.rule == f"deny filesystem readwrite:{inside}/kept"
        assert await world.ask("filesystem.rename", path=f"{link}/kept/secret", to=f"{link}/a") is Code.DENIED
        assert await world.ask("filesystem.write", path=f"{link}/other", data=b"x") == 1
        assert (inside / "kept" / "secret").read_bytes() == b"secret"


async def test_85_links_swapped_in_while_it_reads_and_writes(cache: Path, places: tuple[Path, Path]) -> None:
    """The outside is neither read nor changed, however the race ends; each request was decided by the path it said."""
    inside, outside = places
    (inside / "turn").mkdir()
    (inside / "turn" / "secret").write_bytes(b"public")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(inside / "turn", inside / "away")
            os.symlink(outside, inside / "turn")
            os.unlink(inside / "turn")
            os.rename(inside / "away", inside / "turn")

    seen: set[object] = set()
    async with hosting(cache) as world:
        await world.load(f'filesystem: ["readwrite:{inside}"]')
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for _ in range(200):
                answer = await world.ask("filesystem.read", path=f"{inside}/turn/secret")
                seen.add(answer if isinstance(answer, Code) else answer["data"])
                wrote = await world.ask("filesystem.write", path=f"{inside}/turn/secret", data=b"public")
                seen.add(wrote if isinstance(wrote, Code) else "written")
        finally:
            over.set()
            thread.join()
        assert seen <= {b"public", "written", Code.DENIED, Code.UNKNOWN, Code.UNAVAILABLE, Code.INVALID}
        assert {each.permission.partition(":")[2] for each in world.records} == {f"{inside}/turn/secret"}
    assert (outside / "secret").read_bytes() == b"secret"
    assert [each.name for each in outside.iterdir()] == ["secret"]


async def test_85_what_is_no_plain_file_of_its_own(cache: Path, places: tuple[Path, Path]) -> None:
    """Links, FIFOs, further names, the directory renamed away: denied after it was allowed by its name, and written down."""
    inside, outside = places
    (inside / "link").symlink_to(outside / "secret")
    (inside / "proc").symlink_to("/proc/self/environ")
    os.mkfifo(inside / "fifo")
    os.link(outside / "secret", inside / "hard")
    async with hosting(cache) as world:
        await world.load(f'filesystem: ["readwrite:{inside}"]')
        for name in ("link", "proc", "fifo"):
            assert await world.ask("filesystem.read", path=f"{inside}/{name}") is Code.DENIED, name
            world.decided(f"filesystem read:{inside}/{name}", allowed=False)
        for name, mode in (("link", "append"), ("hard", "append"), ("hard", "update"), ("fifo", "replace")):
            answer = await world.ask("filesystem.write", path=f"{inside}/{name}", data=b"changed", mode=mode)
            assert answer is Code.DENIED, name
            world.decided(f"filesystem write:{inside}/{name}", allowed=False)
        assert (outside / "secret").read_bytes() == b"secret"
        inside.rename(outside / "moved")
        inside.symlink_to(outside)
        assert await world.ask("filesystem.read", path=f"{inside}/secret") is Code.UNKNOWN


async def test_85_a_root_of_its_own_that_became_a_link(cache: Path, places: tuple[Path, Path], tmp_path: Path) -> None:
    """What stands where its files are to be is not followed elsewhere."""
    _, outside = places
    own = tmp_path / "host" / "extensions" / "widget"
    own.mkdir(parents=True, mode=0o700)
    (own / "data").symlink_to(outside)
    async with hosting(cache, data_dir=tmp_path / "host") as world:
        await world.load('filesystem: ["readwrite:@data"]')
        answer = await world.ask("filesystem.read", path="@data/secret")
        assert answer in (Code.DENIED, Code.INVALID, Code.UNAVAILABLE)
        assert world.records[0].permission == "filesystem read:@data/secret"


async def test_86_reading_changes_nothing(cache: Path, places: tuple[Path, Path]) -> None:
    """A read creates and truncates nothing, and every way to write is denied to who may only read."""
    inside, _ = places
    (inside / "a").write_bytes(b"kept")
    async with hosting(cache) as world:
        await world.load(f'filesystem: ["read:{inside}"]')
        assert await world.ask("filesystem.read", path=f"{inside}/new") is Code.UNKNOWN
        for mode in ("create", "replace", "append", "update"):
            for name in ("a", "new"):
                answer = await world.ask("filesystem.write", path=f"{inside}/{name}", data=b"", mode=mode)
                assert answer is Code.DENIED
                world.decided(f"filesystem write:{inside}/{name}", allowed=False)
        for operation in ("remove", "make_directory"):
            assert await world.ask(f"filesystem.{operation}", path=f"{inside}/a") is Code.DENIED
        assert await world.ask("filesystem.rename", path=f"{inside}/a", to=f"{inside}/b") is Code.DENIED
        assert [(each.name, each.read_bytes()) for each in inside.iterdir()] == [("a", b"kept")]


async def test_87_a_name_gives_no_rights(cache: Path, places: tuple[Path, Path]) -> None:
    """A file is not renamed to where it may be read; not on behalf of one that may not read it, either."""
    inside, outside = places
    both = f'filesystem: ["write:{outside}", "readwrite:{inside}"]'
    request = {"path": f"{outside}/secret", "to": f"{inside}/mine"}
    async with hosting(cache) as world:
        await world.load(f'{both}, call: ["mover/ask"]')
        await world.load(f'filesystem: ["write:{outside}", "write:{inside}"]', "mover")
        assert await world.ask("filesystem.rename", **request) is Code.DENIED
        world.decided(f"filesystem read:{outside}/secret", allowed=False)
        inner = codec.encode(["cap.filesystem.rename", codec.encode(request)])
        answer: Any = codec.decode(cast("bytes", await world.host.call("widget", "ask", "ext.mover.ask", inner)))
        assert cast("Any", codec.decode(answer["ok"]))["error"]["code"] == Code.DENIED
        denied = world.records[-1]
        assert (denied.extension, denied.principals, denied.allowed) == ("mover", ("widget", "mover"), False)
        assert (outside / "secret").read_bytes() == b"secret"
        assert await world.ask("filesystem.rename", **request, by="mover") is Code.INVALID  # (no such field)
        assert await world.ask("filesystem.rename", "mover", **request) is None


async def test_88_neither_holes_nor_floods_fill_the_disk(cache: Path, tmp_path: Path) -> None:
    """A sparse file counts as its size, a terabyte is refused as such, and what is full stays full until something is removed."""
    async with hosting(cache, data_dir=tmp_path) as world:
        await world.load('filesystem: ["readwrite:@data", "readwrite:@tmp"]', limits=Limits(storage=1 << 20))
        path = "@data/a"
        assert await world.ask("filesystem.write", path=path, data=b"x") == 1
        for offset, code in ((1 << 40, Code.TOO_LARGE), (2 << 20, Code.OVERLOADED)):
            answer = await world.ask("filesystem.write", path=path, data=b"x", mode="update", offset=offset)
            assert answer is code
        answers = [
            await world.ask("filesystem.write", path=f"@tmp/{number}", data=bytes(100_000)) for number in range(12)
        ]
        assert answers == [100_000] * 10 + [Code.OVERLOADED] * 2
        world.decided("filesystem write:@tmp/11", allowed=True)  # it may, but there is no room
        assert await world.ask("filesystem.make_directory", path="@data/d") is None
        assert await world.ask("filesystem.rename", path="@tmp/0", to="@data/0") is None
        assert await world.ask("filesystem.write", path="@tmp/12", data=bytes(100_000)) is Code.OVERLOADED
        assert await world.ask("filesystem.remove", path="@data/0") is None
        assert await world.ask("filesystem.write", path="@tmp/12", data=bytes(100_000)) == 100_000
        stored = sum(each.stat().st_size for each in (tmp_path / "extensions").rglob("*") if each.is_file())
        assert stored <= 1 << 20


# -- 89: the environment; and what people are asked


async def test_89_a_variable_that_is_not_granted_looks_unset(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes; only the audit knows the difference. Those of loaders and interpreters are nobody's."""
    monkeypatch.setenv("DESK_SECRET", "secret")
    monkeypatch.setenv("LD_PRELOAD_", "x")
    monkeypatch.delenv("DESK_UNSET", raising=False)
    async with hosting(cache) as world:
        await world.load('env: ["read:DESK_UNSET"]')
        unset = await world.raw("env.get", {"name": "DESK_UNSET"})
        world.decided("env read:DESK_UNSET", allowed=True)
        assert await world.raw("env.get", {"name": "DESK_SECRET"}) == unset
        world.decided("env read:DESK_SECRET", allowed=False)
        for name in ("LD_PRELOAD_", "PYTHONPATH", "*", "DESK_SECRET\0", ""):
            assert await world.ask("env.get", name=name) is Code.INVALID, name
        assert len(world.records) == 2


async def test_what_a_person_is_asked_is_plain_and_one_at_a_time(cache: Path, places: tuple[Path, Path]) -> None:
    """Two guests at once, with names that would reorder a line: one question after the other, in printable ASCII."""
    inside, _ = places
    asked: list[str] = []
    open_questions = 0

    async def person(question: Question) -> Answer:
        nonlocal open_questions
        open_questions += 1
        assert open_questions == 1
        asked.append(str(question))
        await anyio.sleep(0.05)
        open_questions -= 1
        return "no"

    async with hosting(cache, policy=Policy(ask=person)) as world:
        for name in ("widget", "other"):
            await world.host.load(relay(name, f'filesystem: ["read:{inside}"]'))
        async with anyio.create_task_group() as tasks:
            for name in ("widget", "other"):
                path = f"{inside}/\u05d0bc"
                tasks.start_soon(lambda by=name, path=path: world.ask("filesystem.read", by, path=path))
        assert len(asked) == 2
        assert all(each.isascii() and each.isprintable() for question in asked for each in question.split("\n"))
        assert [each.allowed for each in world.records] == [False, False]
