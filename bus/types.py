"""The types of messages: what a manifest declares, and how a value of each crosses into a guest and back.

    type                      value                       wire            raw
    bool                      bool                        bool            i32: 0 or 1
    i8 i16 i32 u8 u16 u32     int in range, never bool    whole number    i32
    i64 u64                   int in range, never bool    whole number    i64
    f32 f64                   float; an int is taken      float           f32, f64
    char                      str of one character        text            i32: the code point
    string                    str                         text            UTF-8
    bytes                     bytes; a buffer is taken    byte string     the bytes
    json                      what JSON has a form for    as it is        JSON text
    any                       what CBOR has a form for    as it is        CBOR
    list(T)                   list; a tuple is taken      array           CBOR
    option(T)                 T or None                   T or null       CBOR
    tuple(T, U)               tuple; a list is taken      array           CBOR
    (name: T, other: U)       dict                        map             CBOR

*Value* is what Python code holds, *wire* the same inside a CBOR message, *raw* an argument or result of a wasm
function: a number, or else a payload, for which two i32 stand there, its handle and length.

A record field of an option type may be missing, and is None then; a field that the type does not name is refused.
Floats may be NaN or infinite except in `json`; an f32 is rounded to 32 bits, as it would be in the guest.

This module is the door to all of it, and has the type of a whole function, `Signature`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from desk.bus.codec import MAX_SIZE
from desk.bus.type_base import Flat, InvalidValue, Lowered, Raw, Type, TypeSyntaxError, describe
from desk.bus.type_containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.type_scalars import (
    ANY,
    BOOL,
    BYTES,
    CHAR,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    JSON,
    STRING,
    U8,
    U16,
    U32,
    U64,
    WORDS,
    Any_,
    Bool,
    Bytes,
    Char,
    Float,
    Integer,
    Json,
    String,
)
from desk.bus.type_syntax import parse_type

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "CHAR",
    "F32",
    "F64",
    "I8",
    "I16",
    "I32",
    "I64",
    "JSON",
    "STRING",
    "U8",
    "U16",
    "U32",
    "U64",
    "WORDS",
    "Any_",
    "Bool",
    "Bytes",
    "Char",
    "Flat",
    "Float",
    "Integer",
    "InvalidValue",
    "Json",
    "ListOf",
    "Lowered",
    "OptionOf",
    "Raw",
    "Record",
    "Signature",
    "String",
    "TupleOf",
    "Type",
    "TypeSyntaxError",
    "parse_type",
]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives: `(i32, json) -> bool`, or `(i32)` for one that gives nothing."""

    params: tuple[Type, ...]
    names: tuple[str, ...] | None = None
    result: Type | None = None
    wasm_params: tuple[Flat, ...] = field(init=False, repr=False, compare=False)
    """The parameters as wasm has them; a payload is two i32, its handle and its length."""
    wasm_results: tuple[Flat, ...] = field(init=False, repr=False, compare=False)
    """The result as wasm has it; empty also for a payload, which a guest gives with `reply`."""
    _plan: tuple[tuple[Type, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.names is not None and len(self.names) != len(self.params):
            raise TypeSyntaxError(f"{len(self.names)} names for {len(self.params)} parameters")
        wasm_params: list[Flat] = []
        for param in self.params:
            wasm_params += (param.flat,) if param.flat else ("i32", "i32")
        flat = self.result.flat if self.result else None
        object.__setattr__(self, "wasm_params", tuple(wasm_params))
        object.__setattr__(self, "wasm_results", (flat,) if flat else ())
        object.__setattr__(self, "_plan", tuple((param, f"params[{i}]") for i, param in enumerate(self.params)))

    def __str__(self) -> str:
        params = map(str, self.params)
        if self.names is not None:
            params = (f"{name}: {param}" for name, param in zip(self.names, params, strict=True))
        return f"({', '.join(params)})" + (f" -> {self.result}" if self.result else "")

    def lower_args(self, args: Sequence[object], *, max_size: int = MAX_SIZE) -> tuple[Lowered, ...]:
        """The arguments as a guest gets them, each payload at most `max_size` bytes. Raises `InvalidValue`."""
        if len(args) != len(self._plan):
            arguments = "1 argument" if len(self._plan) == 1 else f"{len(self._plan)} arguments"
            raise InvalidValue("params", f"{arguments} for {self}", str(len(args)))
        if len(args) == 1:  # the usual case, at half the cost
            param, path = self._plan[0]
            return (param.lower(args[0], path, max_size=max_size),)
        return tuple(
            [param.lower(arg, path, max_size=max_size) for (param, path), arg in zip(self._plan, args, strict=True)]
        )

    def lower_result(self, value: object, *, max_size: int = MAX_SIZE) -> Lowered | None:
        """A result as a guest would give it; None, and from None only, if there is none. Raises `InvalidValue`."""
        if self.result is not None:
            return self.result.lower(value, "result", max_size=max_size)
        if value is not None:
            raise InvalidValue("result", "none", describe(value))
        return None

    def lift_result(self, raw: Raw | None, *, max_size: int = MAX_SIZE) -> object:
        """The result in what a guest gave; None, and from None only, if there is none. Raises `InvalidValue`."""
        if self.result is None:
            if raw is not None:
                raise InvalidValue("result", "none", describe(raw))
            return None
        if raw is None:
            raise InvalidValue("result", str(self.result), "none")
        return self.result.lift(raw, "result", max_size=max_size)
