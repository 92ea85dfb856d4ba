"""Reading a regular expression of RFC 9485 (I-Regexp) into a tree.

I-Regexp is what all regular expression languages have in common: alternatives, groups, classes, `.` and counts. There is
nothing in it that looks ahead or back, and nothing whose meaning differs from one language to the next. We read all of it
but `\\p{...}`, whose meaning changes with each version of Unicode, and refuse `^` in front and `$` at the end: to RFC 9485
these are ordinary characters, but whoever writes them there means something else.

Here a tree has no empty parts: what matches only the empty text is left out, or makes what it stands in optional. So a
tree is no larger than its text, and what it grows to when counts are written out is known before that is done: `size`.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from desk.bus.errors import DeskError
from desk.bus.ron.text import shown
from desk.bus.types.character_sets import Ranges, all_but, only, union

MAX_LENGTH: Final = 1_000
"""Characters of a pattern."""

MAX_SIZE: Final = 1_000
"""Characters and classes in a pattern when its counts are written out: `([a-z]-?){8}` has 16."""

MAX_DEPTH: Final = 32
"""Groups within each other."""

_QUANTIFIERS = MappingProxyType({"?": (0, 1), "*": (0, None), "+": (1, None)})
_ESCAPES = MappingProxyType({each: each for each in "()*+-.?[\\]^{|}"} | {"n": "\n", "r": "\r", "t": "\t"})
_NOT_HERE = MappingProxyType(
    {
        "d": "write the class [0-9]",
        "D": "write the class [^0-9]",
        "w": "write the class [A-Za-z0-9_]",
        "W": "write the class [^A-Za-z0-9_]",
        "s": r"write the class [ \t\r\n]",
        "S": r"write the class [^ \t\r\n]",
        "p": "write the characters as a class, such as [A-Za-z]",
        "P": "write the characters as a class, such as [^A-Za-z]",
    }
    | dict.fromkeys("xuU", "write the character itself")
    | dict.fromkeys("AbBzZG", "leave it out: a pattern always stands for the whole text")
    | dict.fromkeys("123456789k", "nothing can refer back to a group")
)
"""Escapes that other regular expressions have: what to do instead."""


class PatternError(DeskError):
    """A pattern is not one we read, or is too large. The doing of its author; there is no point in trying again.

    `reason` says what is wrong and what to write instead, `at` is the offset in the pattern.
    """

    doing = "author"
    retry = "never"

    def __init__(self, reason: str, at: int) -> None:
        self.reason = reason
        self.at = at
        super().__init__(f"{reason} (character {at + 1} of the pattern)")


@dataclass(frozen=True, slots=True)
class Characters:
    """One character, of those in `ranges`."""

    ranges: Ranges
    size: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """Two or more parts, one behind the other."""

    parts: "tuple[Tree, ...]"
    size: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Two or more parts, of which one is there."""

    branches: "tuple[Tree, ...]"
    size: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` at least `low` and at most `high` times; None: any number."""

    part: "Tree"
    low: int
    high: int | None
    size: int


Tree: TypeAlias = Characters | Sequence | Choice | Repeat


def parse(text: str) -> Tree | None:
    """The tree of a pattern; None for one that matches only the empty text. Raises `PatternError`."""
    if len(text) > MAX_LENGTH:
        raise PatternError(f"the pattern is too long; expected at most {MAX_LENGTH} characters", MAX_LENGTH)
    if text.startswith("^"):
        raise PatternError(r"a pattern always stands for the whole text: leave `^` out, or write \^ for a caret", 0)
    if text.endswith("$"):
        whole = "a pattern always stands for the whole text: leave `$` out, or write [$] for a dollar sign"
        raise PatternError(whole, len(text) - 1)
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Tree | None:
        tree = self._choice()
        if self._next:  # only a closing parenthesis ends a choice early
            raise PatternError(r"`)` closes no group; write \) for the character", self._at)
        return tree

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        taken = self._next == character
        self._at += taken
        return taken

    def _choice(self) -> Tree | None:
        start = self._at
        read = [self._branch()]
        while self._take("|"):
            read.append(self._branch())
        branches = [each for each in read if each is not None]
        if not branches:
            return None
        size = self._sized(sum(each.size for each in branches), start)
        tree = branches[0] if len(branches) == 1 else Choice(tuple(branches), size)
        return tree if len(branches) == len(read) else Repeat(tree, 0, 1, size)

    def _branch(self) -> Tree | None:
        start = self._at
        parts: list[Tree] = []
        while self._next not in ("", "|", ")"):
            part = self._piece()
            if part is not None:
                parts.append(part)
        if len(parts) < 2:
            return parts[0] if parts else None
        return Sequence(tuple(parts), self._sized(sum(each.size for each in parts), start))

    def _piece(self) -> Tree | None:
        """An atom, and how often."""
        start = self._at
        atom = self._atom()
        low, high = self._quantifier()
        if self._next in _QUANTIFIERS or self._next == "{":
            raise PatternError(
                f"`{self._next}` follows another count; each part has one (lazy ones are not known)", self._at
            )
        if atom is None or high == 0:
            return None
        if (low, high) == (1, 1):
            return atom
        size = self._sized(atom.size * max(high or low, 1), start)
        return Repeat(atom, low, high, size)

    def _sized(self, size: int, start: int) -> int:
        if size > MAX_SIZE:
            raise PatternError(
                f"with its counts written out this has {size} characters; expected at most {MAX_SIZE}", start
            )
        return size

    def _quantifier(self) -> tuple[int, int | None]:
        if self._next in _QUANTIFIERS:
            self._at += 1
            return _QUANTIFIERS[self._text[self._at - 1]]
        start = self._at
        if not self._take("{"):
            return 1, 1
        low = self._number()
        high = low
        if self._take(","):
            high = None if self._next == "}" else self._number()
        if not self._take("}"):
            raise PatternError("this count is never closed; expected {2}, {2,} or {2,5}", start)
        if high is not None and high < low:
            raise PatternError("this count ends before it begins; expected the smaller number first", start)
        return low, high

    def _number(self) -> int:
        start = self._at
        while self._next in "0123456789" and self._next:
            self._at += 1
        digits = self._text[start : self._at].lstrip("0") or self._text[start : self._at][:1]
        if not digits:
            raise PatternError(r"expected a count such as {2}, {2,} or {0,5}; write \{ for the character", start)
        if len(digits) > len(str(MAX_SIZE)) or int(digits) > MAX_SIZE:
            raise PatternError(f"a count of {shown(digits)} is too much; expected at most {MAX_SIZE}", start)
        return int(digits)

    def _atom(self) -> Tree | None:
        start = self._at
        character = self._next
        self._at += 1
        match character:
            case "(":
                return self._group(start)
            case "[":
                return Characters(self._class(start))
            case ".":
                return Characters(all_but([(10, 10), (13, 13)]))
            case "\\":
                return Characters(only(self._escaped(start)))
            case "?" | "*" | "+" | "{":
                raise PatternError(f"nothing stands before `{character}`; write \\{character} for the character", start)
            case "]" | "}":
                raise PatternError(f"`{character}` closes nothing; write \\{character} for the character", start)
            case _:
                return Characters(only(character))

    def _group(self, start: int) -> Tree | None:
        if self._next == "?":
            raise PatternError("groups have no `(?...)`; a plain `( )` groups, and nothing looks ahead or back", start)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"groups are nested too deeply; expected at most {MAX_DEPTH} within each other", start)
        tree = self._choice()
        if not self._take(")"):
            raise PatternError(r"this group is never closed; expected `)`, or write \( for the character", start)
        self._depth -= 1
        return tree

    def _escaped(self, start: int) -> str:
        """The character that the escape from `start` on stands for; its backslash is read."""
        letter = self._next
        if letter not in _ESCAPES:
            instead = _NOT_HERE.get(letter, "only ( ) * + - . ? [ \\ ] ^ { | } and n r t follow a backslash")
            raise PatternError(f"{shown(chr(92) + letter)} is not in this language (RFC 9485); {instead}", start)
        self._at += 1
        return _ESCAPES[letter]

    def _class(self, start: int) -> Ranges:
        """The characters of a class, whose opening bracket is read."""
        inverted = self._take("^")
        ranges: list[tuple[int, int]] = []
        if self._take("-"):
            ranges.append((45, 45))
        while not self._take("]"):
            low = self._class_character(start)
            high = low
            if self._next == "-" and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._class_character(start)
                if high < low:
                    problem = f"the range from {shown(low)} to {shown(high)} ends before it begins"
                    raise PatternError(problem, self._at - 1)
            ranges.append((ord(low), ord(high)))
            if self._text.startswith("-]", self._at):
                self._at += 1
                ranges.append((45, 45))
        if not ranges:
            raise PatternError(r"this class is empty; write \] or \^ for the characters", start)
        return all_but(ranges) if inverted else union(ranges)

    def _class_character(self, start: int) -> str:
        at = self._at
        character = self._next
        if not character:
            raise PatternError(r"this class is never closed; expected `]`, or write \[ for the character", start)
        self._at += 1
        if character == "\\":
            return self._escaped(at)
        if character in "[]-":
            raise PatternError(f"write \\{character} for {shown(character)} inside a class", at)
        return character
