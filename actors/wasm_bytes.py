"""Reads the smallest things of the wasm binary format: a byte, a number, a name. Never past the end, never on trust.

A count is held against the bytes that are left before anyone allocates for it. Numbers are LEB128 (WebAssembly Core
2.0, 5.2.2): seven bits a byte, and no more bytes than their width needs. Within that, zeros may pad a number, as the
format allows; Go's linker pads every section length.
"""

from desk.bus.errors import DeskError


class WasmFormatError(DeskError):
    """The bytes are no wasm module that we read. `offset` is where, in bytes; `expected` what should be there."""

    doing = "author"
    retry = "never"

    def __init__(self, offset: int, expected: str) -> None:
        super().__init__(f"at byte {offset:#x}: expected {expected}")
        self.offset = offset
        self.expected = expected


class ByteReader:
    """A position in the bytes and an end it does not pass. Every method raises `WasmFormatError`, `what` is for it."""

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self.at = at
        self.end = end

    def byte(self, what: str) -> int:
        """The next byte."""
        if self.at >= self.end:
            raise WasmFormatError(self.at, f"{what}, found the end")
        self.at += 1
        return self._data[self.at - 1]

    def number(self, what: str, bits: int = 32) -> int:
        """An unsigned number of 32 or 64 bits."""
        start = self.at
        value = self.byte(what)
        if value < 0x80:
            return value
        value &= 0x7F
        for shift in range(7, bits, 7):
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> bits:
                    break
                return value
        raise WasmFormatError(start, f"{what}, an unsigned number of {bits} bits in at most {-(-bits // 7)} bytes")

    def index(self, what: str, size: int) -> int:
        """A number that counts from 0 into `size` things."""
        at = self.at
        index = self.number(f"an index into {what}")
        if index >= size:
            raise WasmFormatError(at, f"an index into {size} {what}, found {index}")
        return index

    def count(self, what: str, smallest: int, cap: int | None = None) -> int:
        """How many things follow, each of at least `smallest` bytes, at most `cap` of them."""
        at = self.at
        count = self.number(f"the number of {what}")
        if count * smallest > self.end - self.at:
            raise WasmFormatError(at, f"no more {what} than there are bytes for, found {count}")
        if cap is not None and count > cap:
            raise WasmFormatError(at, f"at most {cap} {what}, found {count}")
        return count

    def take(self, count: int) -> bytes:
        """The next bytes, as many as `count` has found there to be."""
        self.at += count
        return self._data[self.at - count : self.at]

    def rest(self) -> bytes:
        """All bytes up to the end, which stay to be read."""
        return self._data[self.at : self.end]

    def name(self, what: str) -> str:
        """A text: its length in bytes, then UTF-8."""
        start = self.at
        try:
            return self.take(self.count(f"bytes of {what}", 1)).decode()
        except UnicodeDecodeError:
            raise WasmFormatError(start, f"{what} in UTF-8") from None


def leb128(value: int) -> bytes:
    """The shortest form of an unsigned number."""
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + leb128(high) if high else bytes([low])
