"""A place in a manifest: a RON node, the steps by which it was reached, and how to complain about it.

The readers of the fields (`manifest_fields`) are handed places, ask them for the kind of value they want, and get it or
a `ManifestError` that names the field, says what was expected, and shows the line with a caret. For a word that is none
of the known ones, the nearest known one is suggested.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from desk.bus import ron
from desk.bus.errors import DeskError
from desk.bus.ron.text import Pos, excerpt, shown

EXTENSION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_REFUSED_IN_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_LISTED = 16  # known words that an error repeats


class ManifestError(DeskError):
    """The manifest is not one. The author's doing: nothing was installed or started.

    `name` is the extension's, if the manifest says it, else empty. `field` is the path to the value
    (`exports.render.params[1]`, empty for the whole), `problem` says in one line what is wrong with it and what was
    expected, `line` and `column` count from 1, `excerpt` is the line with a caret below.
    """

    doing = "author"
    retry = "never"

    def __init__(self, problem: str, *, field: str, pos: Pos, excerpt: str, name: str = "") -> None:
        whose = f"manifest of {name}" if name else "manifest"
        super().__init__(f"{whose}, {pos}: {field and f'{field}: '}{problem}\n{excerpt}")
        self.name = name
        self.problem = problem
        self.field = field
        self.line = pos.line
        self.column = pos.column
        self.excerpt = excerpt


@dataclass(slots=True)  # not frozen: a manifest has dozens, most of them used once
class Place:
    """A node of a manifest, reached by `step` from the place `outer`. The whole manifest has neither."""

    node: ron.Node
    step: str = ""
    outer: Self | None = None

    @property
    def path(self) -> str:
        """The steps from the whole to here, as in `exports.render.params[1]`."""
        outer = self.outer.path if self.outer else ""
        return outer + self.step if outer else self.step.removeprefix(".")

    def error(self, problem: str, pos: Pos | None = None) -> ManifestError:
        """The error that says `problem` about this place, or about a `pos` inside it."""
        pos = pos or self.node.pos
        return ManifestError(problem, field=self.path, pos=pos, excerpt=excerpt(self.node.text, pos), name=self._name())

    def _name(self) -> str:
        """The name that the whole manifest gives its extension, if it is one."""
        if self.outer is not None:
            return self.outer._name()
        fields = self.node.fields if isinstance(self.node, ron.Struct) else ()
        name = next((field.value for field in fields if field.name == "name"), None)
        return name.value if isinstance(name, ron.Str) and EXTENSION_NAME.fullmatch(name.value) else ""

    def unknown(self, kind: str, word: str, known: Iterable[str], pos: Pos | None = None) -> ManifestError:
        """The error about a `word` that is none of the `known` ones of its `kind`."""
        words = tuple(known)
        near = difflib.get_close_matches(word[:80], words, n=1)
        listed = ", ".join(f"`{each}`" for each in words[:_LISTED]) + (", ..." if len(words) > _LISTED else "")
        hint = f"did you mean `{near[0]}`?" if near else f"expected {listed or 'none'}"
        return self.error(f"unknown {kind} {shown(word)}; {hint}", pos)

    def wrong_kind(self, expected: str) -> ManifestError:
        """The error about another kind of value than `expected`."""
        return self.error(f"expected {expected}, found {self.node.kind}")

    def string(self, expected: str, longest: int) -> str:
        """The string here, of at most `longest` characters."""
        if not isinstance(self.node, ron.Str):
            raise self.wrong_kind(expected)
        if len(self.node.value) > longest:
            raise self.error(f"expected at most {longest} characters, found {len(self.node.value)}")
        return self.node.value

    def text(self, longest: int) -> str:
        """The text for people here, of at most `longest` characters: without control characters but for line feeds."""
        text = self.string("a text", longest)
        if text.isprintable():  # nearly always; nothing that is refused is
            return text
        for character in text:
            refused = (
                unicodedata.category(character) in _REFUSED_IN_TEXT or unicodedata.bidirectional(character) in _BIDI
            )
            if refused and character != "\n":
                raise self.error(f"expected a text without control characters, found {shown(character)}")
        return text

    def line(self, longest: int) -> str:
        """The text for people here, in one line."""
        text = self.text(longest)
        if "\n" in text:
            raise self.error("expected one line, found several")
        return text

    def boolean(self) -> bool:
        """The `true` or `false` here."""
        if not isinstance(self.node, ron.Bool):
            raise self.wrong_kind("true or false")
        return self.node.value

    def items(self, expected: str, most: int) -> "list[Place]":
        """What stands in the list here, at most `most`."""
        if not isinstance(self.node, ron.List):
            raise self.wrong_kind(expected)
        items = self.node.items
        if len(items) > most:
            raise self.error(f"expected at most {most} entries, found {len(items)}", items[most].pos)
        return [Place(item, f"[{index}]", self) for index, item in enumerate(items)]

    def entries(self, expected: str, most: int) -> "Iterator[tuple[str, Place, Place]]":
        """The entries of the map here, at most `most`: the key, its place, and the place of its value.

        A key may be written as a string or as a bare name, but not twice.
        """
        if not isinstance(self.node, ron.Map):
            raise self.wrong_kind(expected)
        entries = self.node.entries
        if len(entries) > most:
            raise self.error(f"expected at most {most} entries, found {len(entries)}", entries[most][0].pos)
        seen: set[str] = set()
        for key, value in entries:
            if isinstance(key, ron.Str):
                name = key.value
            elif isinstance(key, ron.Ident):
                name = key.name
            else:
                raise self.error(f"expected a name or a string as key, found {key.kind}", key.pos)
            if name in seen:
                raise self.error(f"{shown(name)} stands here twice", key.pos)
            seen.add(name)
            step = f".{name}" if _PLAIN.fullmatch(name) else f"[{shown(name)}]"
            yield name, Place(key, step, self), Place(value, step, self)

    def fields(self, expected: str, known: Collection[str]) -> "dict[str, Place]":
        """The fields of the struct here, each of which is `known`. `()` is a struct without fields."""
        if isinstance(self.node, ron.Tuple) and not self.node.items and self.node.name is None:
            return {}
        if not isinstance(self.node, ron.Struct):
            raise self.wrong_kind(expected)
        places: dict[str, Place] = {}
        for field in self.node.fields:
            if field.name not in known:
                raise self.unknown("field", field.name, known, field.pos)
            places[field.name] = Place(field.value, f".{field.name}", self)
        return places
