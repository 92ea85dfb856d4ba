"""Limits are whole numbers from 1 in the units that `docs/limits.md` tells, and admission and engine hold the same ones."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from toolbox import ROOT, extension

import desk.actors.errors
import desk.bus.errors
from desk.actors.errors import Refused
from desk.actors.limits import KIB, MAX_TABLES, MIB, QUANTITY, Limits
from desk.bus.errors import DeskError
from desk.bus.types import InvalidValue
from desk.host import Host
from desk.traces.tracing import Tracing

PAGE = (ROOT / "docs" / "limits.md").read_text()
KEYS = tuple(each.name for each in fields(Limits))


# -- values


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("64MiB", "'64MiB' (string)"),
        (-5, "-5 (integer)"),
        (0, "0 (integer)"),
        (1.5, "1.5 (float)"),
        (True, "True (bool)"),
        (None, "none"),
        (1 << 63, f"{1 << 63} (integer)"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_name(key: str, value: object, shown: str) -> None:
    """Anything but an integer from 1 that wasmtime can count to raises `InvalidValue` with key, unit and value."""
    with pytest.raises(InvalidValue) as caught:
        Limits(**{key: value})  # type: ignore[arg-type]
    unit = "" if QUANTITY[key] == "count" else f", in {QUANTITY[key]}"
    assert str(caught.value) == f"limit {key}: expected an integer from 1 to 2**63 - 1{unit}, got {shown}"


@pytest.mark.parametrize("key", KEYS)
def test_the_least_and_the_greatest_limit_are_taken(key: str) -> None:
    """1 and 2**63 - 1 are limits, and a manifest can lower each of them."""
    for value in (1, (1 << 63) - 1):
        assert getattr(Limits(**{key: value}), key) == value
    assert Limits().narrowed({key: 1}) == Limits(**{key: 1})


def test_every_limit_has_a_quantity() -> None:
    """What each limit counts is known, so that a manifest may ask for it in that unit."""
    assert tuple(QUANTITY) == KEYS == Limits.names()


# -- tables


def module_with_tables(*elements: int) -> bytes:
    """An extension with tables of these sizes, and an export that grows the last by one."""
    tables = "".join(f"(table {count} funcref)" for count in elements)
    grow = f"(table.grow {len(elements) - 1} (ref.null func) (i32.const 1))" if elements else "(i32.const -1)"
    return extension(
        '(name: "tables", api_version: "0.1", exports: {"grow": (params: [], ret: i32)})',
        f'{tables} (func (export "grow") (result i32) {grow})',
    )


def hosting(tmp_path: Path, limits: Limits | None = None) -> Host:
    """A host of its own for one test."""
    return Host(cache_dir=tmp_path, tracing=Tracing.off(), limits=limits)


@pytest.mark.anyio
async def test_as_many_tables_as_admission_takes_can_be_made(tmp_path: Path) -> None:
    """A module with `MAX_TABLES` runs; with one more it is refused at admission, and not only when it is instantiated."""
    async with hosting(tmp_path) as host:
        await host.load(module_with_tables(*[1] * MAX_TABLES))
        assert await host.call("tables", "grow") == 1
        await host.remove("tables")
        with pytest.raises(Refused, match=f"has {MAX_TABLES + 1} tables; expected {MAX_TABLES} at most"):
            await host.load(module_with_tables(*[1] * (MAX_TABLES + 1)))


@pytest.mark.anyio
async def test_the_elements_are_limited_in_each_table(tmp_path: Path) -> None:
    """Two tables may both start full; neither grows beyond the limit, nor starts beyond it."""
    async with hosting(tmp_path, Limits(table_elements=100)) as host:
        await host.load(module_with_tables(100, 100))
        assert await host.call("tables", "grow") == -1
        await host.remove("tables")
        await host.load(module_with_tables(100, 99))
        assert [await host.call("tables", "grow") for _ in range(2)] == [99, -1]
        await host.remove("tables")
        with pytest.raises(Refused, match="starts with 101 table elements; the limit `table_elements` is 100"):
            await host.load(module_with_tables(1, 101))


# -- the page


def rows() -> Iterator[list[str]]:
    """The cells of each row of the table."""
    table = PAGE.split("| key |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_every_limit_with_unit_and_default() -> None:
    """Keys, units and defaults in `docs/limits.md` are those of `Limits`, in its order, and no cell is empty."""
    told: dict[str, tuple[str, int]] = {}
    for key, unit, default, *seen in rows():
        number = re.fullmatch(r"([\d,]+)(?: (MiB|KiB))?", default)
        assert number, default
        told[key.strip("`")] = (
            unit,
            int(number[1].replace(",", "")) * {"": 1, "KiB": KIB, "MiB": MIB}[number[2] or ""],
        )
        assert len(seen) == 2
        assert all(seen)
    assert told == {each.name: (QUANTITY[each.name], each.default) for each in fields(Limits)}
    assert list(told) == list(KEYS)
    assert f"a module may have {MAX_TABLES}." in PAGE


def test_the_errors_on_the_page_exist() -> None:
    """What the caller is said to see are errors of ours."""
    ours = {**vars(desk.bus.errors), **vars(desk.actors.errors)}
    named = {name for *_, caller in rows() for name in re.findall(r"`([A-Z]\w+)`", caller)}
    assert {"Killed", "BadReply", "Refused"} <= named
    assert all(issubclass(ours[name], DeskError) for name in named)
