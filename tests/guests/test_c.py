"""Guests in C, built from source by the real compiler, with `guests/c/desk.h`: freestanding and with wasi-libc.

The sources are in `c/`, each with its manifest beside it. What they are told and what they answer goes through a `Host`.
"""

import logging
import math
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Pages, serving
from toolbox import build_c, extension

from desk.actors.errors import BadReply, Exited, GuestFailed, Refused, Trapped
from desk.actors.limits import MIB, Limits
from desk.actors.wasm import read_module, with_custom_section
from desk.bus import codec
from desk.bus.types.scalars import WORDS
from desk.capabilities.addresses import AddressMap
from desk.capabilities.codes import Code
from desk.host import Host
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

SOURCES = Path(__file__).parent / "c"
FREESTANDING = ("--target=wasm32", "-nostdlib", "-Wl,--no-entry")

Build = Callable[..., bytes]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where modules are built and compiled code is kept, for all tests here."""
    return tmp_path_factory.mktemp("guests")


@pytest.fixture(scope="session")
def build(directory: Path) -> Build:
    """Build a source of `c/` once, and put its manifest in."""
    built: dict[str, bytes] = {}

    def build(name: str, *flags: str) -> bytes:
        if name not in built:
            source = SOURCES / name
            wasm = build_c(source, directory / f"{source.stem}.wasm", *flags)
            built[name] = with_custom_section(wasm, "desk:manifest", source.with_suffix(".ron").read_bytes())
        return built[name]

    return build


@pytest.fixture
def libc(build: Build) -> bytes:
    """The guest with wasi-libc."""
    return build("libc.c")


@pytest.fixture
def payloads(build: Build) -> bytes:
    """The freestanding guest that reads, asks and holds."""
    return build("payloads.c", *FREESTANDING)


@asynccontextmanager
async def hosting(
    directory: Path,
    *modules: bytes,
    limits: Limits | None = None,
    addresses: AddressMap | None = None,
    grants: str | None = None,
) -> AsyncGenerator[Host]:
    """A host without traces, the modules loaded; `grants` is None or "requested"."""
    host = Host(cache_dir=directory / "cache", limits=limits, addresses=addresses, tracing=Tracing.off())
    async with host:
        for module in modules:
            await host.load(module, grants="requested" if grants else None)
        yield host


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[tuple[str, str]]:
    """Level and text of what an extension has logged."""
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == f"desk.ext.{name}"]


# -- wasi-libc: printing


async def test_what_is_printed_becomes_log_lines(
    directory: Path, libc: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """stdout is info, stderr is warning, one record a line; what has no newline at the end of the call is one as well."""
    with caplog.at_level(logging.DEBUG, "desk.ext.libc"):
        async with hosting(directory, libc) as host:
            await host.call("libc", "say")
            assert lines(caplog, "libc") == [
                ("INFO", "one 1"),
                ("INFO", "two"),
                ("WARNING", "careful: 0.125"),
                ("INFO", "unfinished"),
                ("WARNING", "last words"),
            ]
            caplog.clear()
            await host.call("libc", "pieces")
            assert lines(caplog, "libc") == [("INFO", "a line in pieces")]


async def test_exit_ends_the_call_and_the_next_one_works(
    directory: Path, libc: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """`exit(3)` is `Exited` with that status, what was printed is logged, and a fresh instance takes the next call."""
    with caplog.at_level(logging.DEBUG, "desk.ext.libc"):
        async with hosting(directory, libc) as host:
            assert [await host.call("libc", "count") for _ in range(2)] == [1, 2]
            for status in (3, 0):
                with pytest.raises(Exited, match=rf"^libc\.leave: exited with status {status} ") as caught:
                    await host.call("libc", "leave", status)
                assert caught.value.status == status
                assert await host.call("libc", "count") == 1
    assert ("INFO", "leaving") in lines(caplog, "libc")


# -- wasi-libc: clocks, randomness, surroundings, heap


async def test_clocks_are_coarse_and_right(directory: Path, libc: bytes) -> None:
    """Both clocks go in whole milliseconds, do not go back, and the resolution says so."""
    async with hosting(directory, libc) as host:
        assert await host.call("libc", "resolution") == 1_000_000
        for monotonic in (True, False):
            seen = [await host.call("libc", "now", monotonic) for _ in range(20)]
            times = [each for each in seen if isinstance(each, int)]
            assert all(each > 0 and each % 1_000_000 == 0 for each in times)
            assert not monotonic or times == sorted(times)
            assert len(times) == 20


async def test_randomness_differs(directory: Path, libc: bytes) -> None:
    """Every call, and every instance, gets other bytes."""
    async with hosting(directory, libc) as host:
        drawn = [await host.call("libc", "random", 32) for _ in range(5)]
        with pytest.raises(Exited):
            await host.call("libc", "leave", 1)
        drawn += [await host.call("libc", "random", 32) for _ in range(5)]
        assert len(set(drawn)) == 10
        assert {len(each) for each in drawn if isinstance(each, bytes)} == {32}


async def test_environment_and_arguments_are_empty(
    directory: Path, libc: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of the host's, and no argument, is seen by a guest."""
    monkeypatch.setenv("PATH_SECRET", "hunter2")
    async with hosting(directory, libc) as host:
        assert await host.call("libc", "surroundings") == 0


async def test_the_heap_works_up_to_the_limit(directory: Path, libc: bytes) -> None:
    """malloc gives what fits into the limit, NULL for what does not, and the guest goes on after that."""
    async with hosting(directory, libc, limits=Limits(memory=16 * MIB)) as host:
        for _ in range(3):
            assert await host.call("libc", "heap", 1000) == 1000
        assert await host.call("libc", "grab", 8) is True
        assert await host.call("libc", "grab", 16) is False
        assert await host.call("libc", "heap", 1000) == 1000
        assert host.extensions()[0].statistics.instances == 1


# -- crashes


async def test_abort_is_a_trap_with_the_way_there(directory: Path, libc: bytes) -> None:
    """`abort()` is `Trapped` with code `unreachable`; the backtrace has the functions' names of the source."""
    async with hosting(directory, libc) as host:
        with pytest.raises(Trapped) as caught:
            await host.call("libc", "crash")
        assert caught.value.code == "unreachable"
        names = [frame.function for frame in caught.value.frames]
        assert names[0] == "abort"
        assert any(name.startswith("guest_crash") for name in names)
        assert await host.call("libc", "count") == 1


@pytest.mark.parametrize(("export", "code"), [("deep", "stack_overflow"), ("wide", "memory_out_of_bounds")])
async def test_endless_recursion_is_a_typed_trap(directory: Path, libc: bytes, export: str, code: str) -> None:
    """Calls without end run out of wasm's stack, variables without end out of the one in memory; both are `Trapped`."""
    async with hosting(directory, libc) as host:
        for _ in range(3):
            with pytest.raises(Trapped) as caught:
                await host.call("libc", export)
            assert caught.value.code == code
            assert 0 < len(caught.value.frames) <= 32
            assert await host.call("libc", "count") == 1


async def test_wasi_that_is_not_offered_is_refused_by_name(directory: Path, build: Build) -> None:
    """A guest that opens files is refused before it runs, and each function that this host has not got is named."""
    with pytest.raises(Refused) as caught:
        async with hosting(directory, build("files.c")):
            pass
    wanted = [each.name for each in read_module(build("files.c")).imports]
    assert "path_open" in wanted
    named = [reason for reason in caught.value.reasons if "wasi_snapshot_preview1" in reason]
    for name in ("path_open", "fd_read", "fd_prestat_get", "fd_prestat_dir_name"):
        assert name in wanted
        assert any(f"`{name}`" in reason or f"'{name}'" in reason or f'"{name}"' in reason for reason in named), named
    assert len(named) == len(caught.value.reasons)


# -- start


NOT_YET = Code.NOT_YET


async def test_only_log_works_during_initialize(
    directory: Path, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """In a constructor request and context are a pair without handle and code 12, publish and read are -12; log works."""
    with caplog.at_level(logging.DEBUG, "desk.ext.start"):
        async with hosting(directory, build("start.c"), grants="requested") as host:
            assert await host.call("start", "early") == [NOT_YET, -NOT_YET, -NOT_YET, NOT_YET, NOT_YET]
            assert host.audit.denied == 0
    assert lines(caplog, "start") == [("WARNING", "constructing")]


async def test_desk_start_may_ask_and_tell(directory: Path, build: Build) -> None:
    """The hook runs once for each instance, after the constructors, and requests and publications work in it."""
    pages = Pages({"/": b"welcome"})
    async with serving(pages) as port:
        addresses = AddressMap({"start.example": ("127.0.0.1", port)})
        async with hosting(directory, addresses=addresses) as host, host.subscribe("start.*") as events:
            grants = {"network": ["start.example:80"], "bus": ["publish:start.hello"]}
            await host.load(build("start.c"), grants=grants)
            assert pages.asked == [("/", "start.example")]
            event = await anext(events)
            assert (event.subject, event.value, event.sender) == ("start.hello", 1, "start")
            assert await host.call("start", "story") == (1, 1, 0, 200, 1)
            assert await host.call("start", "story") == (1, 1, 0, 200, 1)
            with pytest.raises(Trapped):
                await host.call("start", "crash")
            assert await host.call("start", "story") == (1, 1, 0, 200, 1)
            assert len(pages.asked) == 2


async def test_desk_start_without_grants_is_told_so(directory: Path, build: Build) -> None:
    """What the hook may not do is answered with `denied`, and the extension loads all the same."""
    async with hosting(directory, build("start.c")) as host:
        assert await host.call("start", "story") == (1, 1, Code.DENIED, 0, -Code.DENIED)


async def test_static_objects_of_cpp_are_constructed_once(
    directory: Path, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """`desk.h` is C++ as well: objects are made before the first call, in order, and keep their state after it."""
    with caplog.at_level(logging.DEBUG, "desk.ext.objects"):
        async with hosting(directory, build("objects.cpp")) as host:
            assert [await host.call("objects", "total") for _ in range(3)] == [83, 84, 85]
    assert lines(caplog, "objects") == [("INFO", "made")] * 2


# -- payloads


async def test_a_payload_is_read_in_pieces_of_any_size(directory: Path, payloads: bytes) -> None:
    """Whatever the guest's buffer, it gets every byte once, in order."""
    async with hosting(directory, payloads) as host:
        data = bytes(range(256)) * 40 + b"end"
        for step in (1, 7, 256, 4096, len(data), len(data) + 1):
            assert await host.call("payloads", "chunks", step, data) == data
        assert await host.call("payloads", "chunks", 16, b"") == b""


async def test_reading_past_the_end_and_unknown_handles_are_values(directory: Path, payloads: bytes) -> None:
    """0 at and past the end and for no room, -3 for a handle that is not there or was dropped; nothing traps."""
    async with hosting(directory, payloads) as host:
        unknown = -Code.UNKNOWN
        expected = [10, 1, 0, 0, 0, 0, unknown, unknown, unknown, unknown]
        assert await host.call("payloads", "edges", b"0123456789") == expected
        assert await host.call("payloads", "edges", b"0123456789") == expected
        assert host.extensions()[0].statistics.instances == 1


async def test_the_arena_holds_two_payloads(directory: Path, payloads: bytes) -> None:
    """What was read first is untouched by what was read second; what does not fit is an error value."""
    async with hosting(directory, payloads) as host:
        assert await host.call("payloads", "both", "grüß ", "Gott") == "grüß Gott"
        assert await host.call("payloads", "both", "", "") == ""
        with pytest.raises(GuestFailed, match="the arena is full") as caught:
            await host.call("payloads", "both", "x" * 4000, "y" * 100)
        assert caught.value.code == Code.TOO_LARGE


async def test_the_context_is_told(directory: Path, payloads: bytes) -> None:
    """Everything that the page promises is there, of its type, and nothing else."""
    async with hosting(directory, payloads) as host:
        context = await host.call("payloads", "about")
        assert isinstance(context, dict)
        assert {name: type(value) for name, value in context.items()} == {
            "subject": str,
            "sender": str,
            "id": int,
            "attempt": int,
            "deadline_ms": int,
            "config": dict,
        }
        assert (context["subject"], context["attempt"]) == ("ext.payloads.about", 1)


# -- asking others

CALCULATOR = extension(
    """(name: "calculator", api_version: "0.1", exports: {
        "add": (params: [i32, i32], ret: i32),
        "count": (params: [], ret: i32),
    })""",
    """
    (global $count (mut i32) (i32.const 0))
    (func (export "add") (param i32 i32) (result i32)
      (if (i32.eqz (local.get 0)) (then (call $fail (i32.const 77) (i32.const 0) (i32.const 7))))
      (if (i32.eqz (local.get 1)) (then unreachable))
      (i32.add (local.get 0) (local.get 1)))
    (func (export "count") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
    (data (i32.const 0) "no zero")
    """,
)


async def test_an_answer_is_read_by_the_header(directory: Path, payloads: bytes) -> None:
    """`desk_ask` gives the value of `{ok}`, and code and message of `{error}`, whatever went wrong there."""
    async with hosting(directory, payloads, grants="requested") as host:

        async def sum_(a: int, b: int) -> tuple[object, object, str]:
            answer = await host.call("payloads", "sum", a, b)
            assert isinstance(answer, dict)
            return answer["code"], answer["total"], str(answer["message"])

        assert (await sum_(1, 2))[:2] == (Code.UNKNOWN, None)
        await host.load(CALCULATOR)
        assert await sum_(2, -5) == (0, -3, "")
        code, total, message = await sum_(0, 1)
        assert (code, total) == (Code.FAILED, None)
        assert "77" in message
        assert "no zero" in message
        code, total, message = await sum_(1, 0)
        assert (code, total) == (Code.TRAPPED, None)
        assert "calculator.add" in message


async def test_http_with_a_grant(directory: Path, payloads: bytes) -> None:
    """Status and body are the server's, whatever they are; the server sees the name that was asked for."""
    body = bytes(range(256)) * 200
    pages = Pages({"/small": b"hello", "/large": body, "/empty": b""})
    async with serving(pages) as port:
        addresses = AddressMap({"api.example": ("127.0.0.1", port)})
        async with hosting(directory, payloads, addresses=addresses, grants="requested") as host:

            async def fetch(path: str) -> object:
                return await host.call("payloads", "fetch", f"http://api.example{path}")

            def answer(status: int, body: bytes) -> dict[str, object]:
                return {"code": 0, "message": "", "status": status, "body": body}

            assert await fetch("/small") == answer(200, b"hello")
            assert await fetch("/large") == answer(200, body)
            assert await fetch("/empty") == answer(200, b"")
            assert await fetch("/missing") == answer(404, b"")
            assert pages.asked == [(path, "api.example") for path in ("/small", "/large", "/empty", "/missing")]
            assert (host.audit.allowed, host.audit.denied) == (4, 0)


async def test_http_that_does_not_fit_the_guest_s_buffer(directory: Path, payloads: bytes) -> None:
    """An answer larger than the guest's own buffer is `too_large` from the header, not a trap."""
    async with serving(Pages({"/huge": bytes(200_000)})) as port:
        addresses = AddressMap({"api.example": ("127.0.0.1", port)})
        async with hosting(directory, payloads, addresses=addresses, grants="requested") as host:
            answer = await host.call("payloads", "fetch", "http://api.example/huge")
            assert isinstance(answer, dict)
            assert (answer["code"], answer["body"]) == (Code.TOO_LARGE, b"")


async def test_http_without_a_grant(directory: Path, payloads: bytes) -> None:
    """The guest sees code 2 and the line to add, the server sees nothing, the audit has it."""
    pages = Pages({"/": b"secret"})
    async with serving(pages) as port:
        addresses = AddressMap({"api.example": ("127.0.0.1", port)})
        async with hosting(directory, payloads, addresses=addresses) as host:
            answer = await host.call("payloads", "fetch", "http://api.example/")
            assert isinstance(answer, dict)
            assert (answer["code"], answer["status"], answer["body"]) == (2, 0, b"")
            assert 'network: ["connect:api.example:80"]' in str(answer["message"])
            assert host.audit.denied == 1
        assert pages.asked == []


# -- limits of a call


async def test_too_many_payloads_are_refused_with_a_value(directory: Path, payloads: bytes) -> None:
    """With four handles the fifth payload is `overloaded`, in a pair without handle; who drops them may go on for ever."""
    async with hosting(directory, payloads, limits=Limits(handles=4)) as host:
        assert await host.call("payloads", "hold", 10, False) == (4, Code.OVERLOADED)
        assert await host.call("payloads", "hold", 10, False) == (4, Code.OVERLOADED)
        assert await host.call("payloads", "hold", 1000, True) == (1000, 0)


async def test_a_request_whose_answer_cannot_be_held_is_not_carried_out(directory: Path, payloads: bytes) -> None:
    """A guest without a free handle is told `overloaded` before anything happens: nothing is done whose answer is lost."""
    async with hosting(directory, CALCULATOR, payloads, limits=Limits(handles=4), grants="requested") as host:
        arguments = codec.encode([])
        assert await host.call("payloads", "ask_holding", 3, "ext.calculator.count", arguments) == 0
        assert await host.call("calculator", "count") == 2
        assert await host.call("payloads", "ask_holding", 4, "ext.calculator.count", arguments) == Code.OVERLOADED
        assert await host.call("calculator", "count") == 3


async def test_a_payload_over_the_limit_is_too_large(directory: Path, payloads: bytes) -> None:
    """Both request and publish refuse it with code 6, and take the largest one that is allowed."""
    async with hosting(directory, payloads, limits=Limits(request=1003), grants="requested") as host:
        assert await host.call("payloads", "send", 1000) == (Code.DENIED, 0)
        assert await host.call("payloads", "send", 1001) == (Code.TOO_LARGE, -Code.TOO_LARGE)
        assert host.extensions()[0].statistics.instances == 1


# -- types


def f32(value: float) -> float:
    """The nearest number that an f32 can hold."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def same(a: object, b: object) -> bool:
    """Equal, of the same types all the way down, NaN to itself, and zeros by their sign."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
characters = st.characters(exclude_categories=["Cs"])
small = st.integers(-(1 << 53), 1 << 53)
finite = st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | small | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    **{f"i{bits}": integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "f32": st.floats(width=32),
    "f64": st.floats(),
    "char": characters,
    "string": texts,
    "bytes": st.binary(max_size=100),
    "json": json,
    "any": anything,
    "list": st.lists(integers(64, signed=True), max_size=20),
    "option": st.none() | texts,
    "tuple": st.tuples(st.booleans(), st.floats(), characters),
    "record": st.fixed_dictionaries(
        {
            "name": texts,
            "tags": st.lists(texts, max_size=3),
            "at": st.fixed_dictionaries({"x": st.floats(), "y": st.floats()}),
            "note": st.none() | st.binary(max_size=10),
        }
    ),
}
quick = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
"""Each example opens a host and passes dozens of values through it."""


@pytest.fixture(scope="session")
def types(build: Build) -> bytes:
    """The freestanding guest with an export for each type."""
    return build("types.c", *FREESTANDING)


def test_every_type_has_an_export(types: bytes) -> None:
    """The guest of the next tests gives back every type there is: none is forgotten here."""
    assert set(VALUES) == set(WORDS) | {"list", "option", "tuple", "record"}
    assert set(VALUES) <= set(read_module(types).exports)


@quick
@given(data=st.lists(st.sampled_from(sorted(VALUES)).flatmap(lambda n: st.tuples(st.just(n), VALUES[n])), max_size=60))
async def test_every_type_comes_back_from_c_unchanged(
    directory: Path, types: bytes, data: list[tuple[str, object]]
) -> None:
    """host -> compiled guest -> host is the identity, for values of every type; CBOR is read and written anew by the guest."""
    async with hosting(directory, types) as host:
        for export, value in data:
            back = await host.call("types", export, value)
            assert same(back, value), (export, value, back)


FLAT = ("bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "char")
flat = st.tuples(*(VALUES[name] for name in (*FLAT, "string")))


@quick
@given(rows=st.lists(flat, max_size=30))
async def test_c_sees_what_was_given(directory: Path, types: bytes, rows: list[tuple[object, ...]]) -> None:
    """Every parameter has, inside of the guest, the value that the caller gave, its sign and its width."""
    async with hosting(directory, types) as host:
        for row in rows:
            seen = await host.call("types", "seen", *row)
            assert isinstance(seen, list)
            *numbers, letter, text = row
            assert isinstance(letter, str)
            assert same(seen, [*numbers, ord(letter), text])


async def test_the_edges_of_every_type_come_back(directory: Path, types: bytes) -> None:
    """The least and the greatest integers, NaN, infinities, signed zeros, the smallest floats, and the last character."""
    tiny = (math.inf, -math.inf, math.nan, 0.0, -0.0)
    edges: list[tuple[str, object]] = [
        *((f"i{bits}", value) for bits in (8, 16, 32, 64) for value in (-(1 << bits - 1), -1, 0, (1 << bits - 1) - 1)),
        *((f"u{bits}", value) for bits in (8, 16, 32, 64) for value in (0, (1 << bits - 1), (1 << bits) - 1)),
        *(("f64", value) for value in (*tiny, 5e-324, 1.7976931348623157e308)),
        *(("f32", value) for value in (*tiny, f32(1e-45), f32(3.4028234e38))),
        *(("char", value) for value in "\0\ud7ff\ue000\U0010ffff"),
        ("string", "\0"),
        ("string", "x" * 200_000),
        ("bytes", b""),
        ("bytes", bytes(200_000)),
        ("option", None),
        ("option", ""),
        ("list", []),
        ("list", list(range(20_000))),
        ("any", {"": [[[[[[[[[[[[[[None]]]]]]]]]]]]]]}),
    ]
    async with hosting(directory, types) as host:
        for export, value in edges:
            assert same(await host.call("types", export, value), value), (export, value)


@pytest.mark.parametrize(
    ("export", "type_"), [("wrong_bool", "bool"), ("wrong_u8", "u8"), ("wrong_i8", "i8"), ("wrong_char", "char")]
)
async def test_a_flat_result_out_of_range_is_a_bad_reply(
    directory: Path, types: bytes, export: str, type_: str
) -> None:
    """wasm has no u8: a guest that returns 256 for one has broken its word, and the caller is told so."""
    async with hosting(directory, types) as host:
        with pytest.raises(BadReply, match=f"declared type.*{type_}"):
            await host.call("types", export)
