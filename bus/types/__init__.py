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
    enum(red, green)          str, one of the names       text            CBOR
    variant(a: T, b: ())      {"a": T}; "b"               map; text       CBOR
    result(T, U)              as variant(ok: T, error: U) map; text       CBOR

    with a constraint                           takes
    u8(1..=10)  i32(..=5)  i64(1..)             the whole numbers in the range
    f64(0.0..=1.0)  f32(0.0..)                  the floats in the range, which NaN is not
    string(1..=80)  bytes(..=1024)              so many characters (code points), so many bytes
    string("[a-z]+")  string(1..=80, "[a-z]+")  what the pattern describes as a whole: see `patterns`
    list(T, 1..=10)                             so many items

A type that a manifest gives a name to, `types: {"reading": (city: string)}`, is a `Named` (`read_types`): `reading` stands
for it wherever a type may stand. No type is made of itself.

*Value* is what Python code holds, *wire* the same inside a CBOR message, *raw* an argument or result of a wasm
function: a number, or else a payload, for which two i32 stand there, its handle and length.

A record field of an option type may be missing, and is None then; a field that the type does not name is refused.
Floats may be NaN or infinite except in `json`; an f32 is rounded to 32 bits, as it would be in the guest.
`parse_type_text("list(u8)")` gives a type, `str(type)` what to write, and a type says what it is made of (`parts`) and how
large it is (`depth`, `size`, bounded by `MAX_TYPE_SIZE`).
"""

from desk.bus.types.base import Flat, InvalidValue, Lowered, Raw, Type, TypeSyntaxError
from desk.bus.types.choices import EnumOf, ResultOf, VariantOf
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
from desk.bus.types.declared import MAX_NAMES, read_types
from desk.bus.types.extent import MAX_TYPE_SIZE
from desk.bus.types.named import Named
from desk.bus.types.numbers import Float, Integer
from desk.bus.types.quick import quicken
from desk.bus.types.scalars import (
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
    Json,
)
from desk.bus.types.signature import Signature
from desk.bus.types.syntax import parse_type, parse_type_text
from desk.bus.types.texts import Bytes, Char, String

Type.quicken = quicken

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
    "MAX_NAMES",
    "MAX_TYPE_SIZE",
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
    "EnumOf",
    "Flat",
    "Float",
    "Integer",
    "InvalidValue",
    "Json",
    "ListOf",
    "Lowered",
    "Named",
    "OptionOf",
    "Raw",
    "Record",
    "ResultOf",
    "Signature",
    "String",
    "TupleOf",
    "Type",
    "TypeSyntaxError",
    "VariantOf",
    "parse_type",
    "parse_type_text",
    "read_types",
]
