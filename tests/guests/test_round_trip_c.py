"""Any type, any value of it: host -> guest compiled from C -> host, and it is what it was.

The guest, `c/round_trip.c`, has an export for each shape of a value in wasm. Types are generated, a manifest is written that
declares the export with them, and the guest takes each value apart and makes it anew.
"""

import json
import math
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sameness import same
from toolbox import build_c

from desk.bus.types import (
    BOOL,
    BYTES,
    CHAR,
    F32,
    F64,
    JSON,
    STRING,
    WORDS,
    Bool,
    Bytes,
    Char,
    Float,
    Integer,
    InvalidValue,
    Json,
    ListOf,
    Signature,
    String,
    TupleOf,
    Type,
)
from desk.host import Host
from desk.testing.drawn_types import types
from desk.testing.values import arguments_of, values_of, wrong_values_for
from desk.traces.tracing import Tracing

pytestmark = pytest.mark.anyio

GUEST = Path(__file__).parent / "c" / "round_trip.c"
FREESTANDING = ("--target=wasm32", "-nostdlib", "-Wl,--no-entry")
EXAMPLES = 60

quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""One host and one module for all examples; an extension is loaded for each."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module is built and its compiled code is kept."""
    return tmp_path_factory.mktemp("round_trip")


@pytest.fixture(scope="module")
def guest(directory: Path) -> Path:
    """The compiled guest, without a manifest."""
    build_c(GUEST, directory / "round_trip.wasm", *FREESTANDING)
    return directory / "round_trip.wasm"


@pytest.fixture
async def host(directory: Path) -> AsyncGenerator[Host]:
    """A host without traces."""
    async with Host(cache_dir=directory / "cache", tracing=Tracing.off()) as host:
        yield host


def export_for(declared: Type) -> str:
    """The export of the guest whose parameters have the shape of this type."""
    bare = declared.bare
    match bare:
        case Bool() | Char() | Json():
            return str(bare)
        case Integer(name=name):
            return name
        case Float():
            return bare.flat
        case String():
            return "string"
        case Bytes():
            return "bytes"
        case _:
            return "cbor"


async def load(host: Host, guest: Path, export: str, params: str, ret: str, named: Mapping[str, Type] = {}) -> None:
    """Load the guest with one export declared."""
    definitions = ", ".join(f'"{name}": {type_}' for name, type_ in named.items())
    await host.load(
        guest,
        manifest=f"""(
            name: "round-trip",
            api_version: "0.1",
            types: {{{definitions}}},
            exports: {{"{export}": (params: [{params}], ret: {ret})}},
        )""",
    )


@st.composite
def messages(draw: st.DrawFn) -> tuple[Type, bool, list[object], object]:
    """A type, whether to declare it under a name, some values of it, and one that is none."""
    declared = draw(types())
    values = draw(st.lists(values_of(declared), min_size=1, max_size=5))
    return declared, draw(st.booleans()), values, draw(wrong_values_for(declared))


@quick
@given(messages())
async def test_any_value_of_any_type_comes_back_from_c(
    host: Host, guest: Path, message: tuple[Type, bool, list[object], object]
) -> None:
    """host -> compiled guest -> host is the identity, whatever the type, also under a name; `any` is not tried."""
    declared, named, values, wrong = message
    export = export_for(declared)
    spelled = "thing" if named else str(declared)
    await load(host, guest, export, spelled, spelled, {"thing": declared} if named else {})
    try:
        for value in values:
            back = await host.call("round-trip", export, value)
            assert same(back, value), (declared, value, back)
        with pytest.raises(InvalidValue):
            await host.call("round-trip", export, wrong)
    finally:
        await host.remove("round-trip")


FLAT = (BOOL, *(each for each in WORDS.values() if isinstance(each, Integer)), F32, F64, CHAR)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Signature, list[tuple[object, ...]]]:
    """A function of all flat types, a text, bytes, JSON and something in CBOR, and arguments for some calls of it."""
    text = draw(st.sampled_from([STRING, String(1, 80), String(0, None, "[a-z]*(é|日){0,2}")]))
    bytes_ = draw(st.sampled_from([BYTES, Bytes(2, 9)]))
    last = draw(types(max_depth=2).map(lambda each: each if export_for(each) == "cbor" else ListOf(each)))
    result = TupleOf((*FLAT, text, bytes_, STRING, last))  # JSON comes back as its text
    signature = Signature((*FLAT, text, bytes_, JSON, last), None, result)
    return signature, draw(st.lists(arguments_of(signature), min_size=1, max_size=3))


@quick
@given(calls())
async def test_many_parameters_come_back_as_one_tuple(
    host: Host, guest: Path, call: tuple[Signature, list[tuple[object, ...]]]
) -> None:
    """A function of all flat types, text, bytes, JSON and CBOR sees each of them, in its place, as the caller gave it."""
    signature, calls = call
    await load(host, guest, "all", ", ".join(map(str, signature.params)), str(signature.result))
    try:
        for arguments in calls:
            back = await host.call("round-trip", "all", *arguments)
            assert isinstance(back, tuple)
            *before, text, last = back
            assert same((*before, json.loads(text), last), arguments)
    finally:
        await host.remove("round-trip")


@pytest.mark.parametrize(
    ("text", "value", "back"),
    [
        ("list(f32)", (0.1, 1), [0.10000000149011612, 1.0]),
        ("tuple(f64, f64)", [2, -0.0], (2.0, -0.0)),
        ("(a: option(u8), b: bytes)", {"b": bytearray(b"b")}, {"a": None, "b": b"b"}),
        ("list(result((), string))", ["ok", {"error": "é"}], ["ok", {"error": "é"}]),
        ("list(json)", [{"a": (1, -(1 << 64))}], [{"a": [1, -(1 << 64)]}]),
        ("list(f32)", [math.nan, -math.inf, 1e-45], [math.nan, -math.inf, 1.401298464324817e-45]),
    ],
)
async def test_what_a_type_takes_besides_comes_back_as_its_own(
    host: Host, guest: Path, text: str, value: object, back: object
) -> None:
    """A tuple for a list and a list for a tuple, a whole number for a float, a buffer for bytes, a field left out."""
    await load(host, guest, "cbor", text, text)
    assert same(await host.call("round-trip", "cbor", value), back)
