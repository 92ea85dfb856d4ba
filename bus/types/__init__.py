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
"""

from desk.bus.types.base import Flat, InvalidValue, Lowered, Raw, Type, TypeSyntaxError
from desk.bus.types.containers import ListOf, OptionOf, Record, TupleOf
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
    Bytes,
    Char,
    Float,
    Integer,
    Json,
    String,
)
from desk.bus.types.signature import Signature
from desk.bus.types.syntax import parse_type

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
