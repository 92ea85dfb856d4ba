"""The operator's policy as a file, in the notation and the grammar of manifests.

    Policy(
        deny: {network: ["10.0.0.0/8"], filesystem: ["readwrite:/srv/secret"]},
        ceiling: {network: ["*:443"], clock: "wall:coarse"},
        grants: {
            "weather-widget": {network: ["api.weather.com"]},
            "geocoder": "requested",
        },
        observe: ["new-widget"],                      // or true, for all
    )

Every field may be left out, none may be unknown: a rule that is misspelt must not look as if it held.
"""

import difflib
import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from desk.bus import ron
from desk.bus.errors import DeskError
from desk.bus.ron.text import Pos, excerpt, shown
from desk.capabilities.atoms import Atom
from desk.capabilities.permissions import MAX_PER_SECTION, PermissionSet
from desk.capabilities.reach import check_rule
from desk.capabilities.syntax import PermissionSyntaxError
from desk.capabilities.vocabulary import Vocabulary

LIMITS = ron.RonLimits(size=1 << 20, depth=8, nodes=50_000)
"""How much of a file of the operator is read before it is refused."""

MAX_EXTENSIONS = 1_000
"""Extensions that one file names."""

EXTENSION_NAME = "1 to 64 of a-z 0-9 -, not - first"
"""What an extension may be called, for people."""

_FIELDS = ("deny", "ceiling", "grants", "observe")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PERMISSIONS = 'permissions by section, as in {network: ["api.example.com"]}'


class PolicyError(DeskError):
    """A file of the operator says what cannot be understood: the policy, or what is remembered. Nothing of it holds.

    `problem` is one line without the place, `line` and `column` count from 1, `excerpt` is the line with a caret below.
    """

    doing = "operator"
    retry = "never"

    def __init__(self, file: Path, problem: str, pos: Pos, excerpt: str) -> None:
        super().__init__(f"{file}, {pos}: {problem}\n{excerpt}")
        self.file = file
        self.problem = problem
        self.line = pos.line
        self.column = pos.column
        self.excerpt = excerpt


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What a policy file says, read; nothing by default."""

    deny: PermissionSet = field(default_factory=PermissionSet)
    ceiling: PermissionSet | None = None
    grants: Mapping[str, PermissionSet | Literal["requested"]] = field(
        default_factory=dict[str, PermissionSet | Literal["requested"]]
    )
    observe: bool | frozenset[str] = False


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a file of the operator, which can be complained about."""

    file: Path
    node: ron.Node

    def at(self, node: ron.Node) -> "Place":
        """Another node of the same file."""
        return Place(self.file, node)

    def error(self, problem: str, pos: Pos | None = None) -> PolicyError:
        """The error that says `problem` about this place, or about a `pos` inside it."""
        pos = pos or self.node.pos
        return PolicyError(self.file, problem, pos, excerpt(self.node.text, pos))

    def expected(self, what: str) -> PolicyError:
        """The error about another kind of value than this."""
        return self.error(f"expected {what}, found {self.node.kind}")

    def unknown(self, kind: str, word: str, known: Iterable[str], pos: Pos | None = None) -> PolicyError:
        """The error about a `word` that is none of the `known` ones."""
        words = sorted(known)
        near = difflib.get_close_matches(word[:80], words, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"expected {', '.join(words)}"
        return self.error(f"unknown {kind} {shown(word)}; {hint}", pos)

    def string(self, what: str) -> str:
        """The string here."""
        if not isinstance(self.node, ron.Str):
            raise self.expected(what)
        return self.node.value

    def items(self, what: str, most: int) -> "Iterator[Place]":
        """What stands in the list here, at most `most`."""
        if not isinstance(self.node, ron.List):
            raise self.expected(what)
        if len(self.node.items) > most:
            raise self.at(self.node.items[most]).error(f"expected at most {most} entries, found {len(self.node.items)}")
        return map(self.at, self.node.items)

    def entries(self, what: str, most: int = MAX_EXTENSIONS) -> "Iterator[tuple[str, Place, Place]]":
        """Each key of the map here, its place, and that of its value. A key is a name or a string; RON has it once only."""
        if not isinstance(self.node, ron.Map):
            raise self.expected(what)
        if len(self.node.entries) > most:
            raise self.error(f"expected at most {most} entries, found {len(self.node.entries)}")
        seen: set[str] = set()
        for key, value in self.node.entries:
            if not isinstance(key, ron.Str | ron.Ident):
                raise self.at(key).expected("a name or a string as key")
            name = key.value if isinstance(key, ron.Str) else key.name
            if name in seen:  # once as a string and once as a name
                raise self.at(key).error(f"{shown(name)} stands here twice")
            seen.add(name)
            yield name, self.at(key), self.at(value)

    def extension(self, name: str) -> str:
        """The `name` of an extension that stands here."""
        if not is_extension_name(name):
            raise self.error(f"expected the name of an extension, {EXTENSION_NAME}; found {shown(name)}")
        return name


def is_extension_name(name: str) -> bool:
    """Say whether an extension can be called that."""
    return _NAME.fullmatch(name) is not None


def read_fields(path: Path, root: str, known: Collection[str]) -> Mapping[str, Place]:
    """The fields of the struct `root` that a file of the operator holds, all of them `known`.

    Raises `PolicyError`, and `OSError` if it cannot be read.
    """
    try:
        node = ron.parse_bytes(_bytes(path), limits=LIMITS)
    except ron.RonError as error:
        raise PolicyError(path, error.message, error.pos, error.excerpt) from None
    place = Place(path, node)
    if not isinstance(node, ron.Struct | ron.Tuple) or node.name not in (None, root):
        raise place.expected(f"{root}({', '.join(known)})")
    if isinstance(node, ron.Struct):
        for field in node.fields:
            if field.name not in known:
                raise place.unknown("field", field.name, known, field.pos)
        return {field.name: Place(path, field.value) for field in node.fields}
    if node.items:
        raise place.expected(f"{root}({', '.join(known)})")
    return {}


def _bytes(path: Path) -> bytes:
    """What a regular file holds, or as much as shows that it is too large. A pipe in its place keeps nobody waiting."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "this is not a regular file", str(path))
        return file.read(LIMITS.size + 1)


def read_policy_file(path: Path, vocabulary: Vocabulary) -> PolicyFile:
    """Read a policy file. Raises `PolicyError`, and `OSError` if it cannot be read."""
    fields = read_fields(path, "Policy", _FIELDS)
    deny, ceiling, grants, observe = map(fields.get, _FIELDS)
    return PolicyFile(
        PermissionSet() if deny is None else _permissions(deny, vocabulary.forbidding, check_rule),
        None if ceiling is None else _permissions(ceiling, vocabulary),
        {} if grants is None else dict(_grants(grants, vocabulary)),
        observe is not None and _observe(observe),
    )


def _grants(place: Place, vocabulary: Vocabulary) -> Iterator[tuple[str, PermissionSet | Literal["requested"]]]:
    for name, key, value in place.entries('a map of extensions, as in {"weather-widget": {network: ["..."]}}'):
        if isinstance(value.node, ron.Str):
            if value.node.value != "requested":
                raise value.error(f'expected {_PERMISSIONS} or "requested", found {shown(value.node.value)}')
            yield key.extension(name), "requested"
        else:
            yield key.extension(name), _permissions(value, vocabulary)


def _observe(place: Place) -> bool | frozenset[str]:
    if isinstance(place.node, ron.Bool):
        return place.node.value
    names = place.items("true, false or a list of names of extensions", MAX_EXTENSIONS)
    return frozenset(each.extension(each.string("the name of an extension as a string")) for each in names)


def _permissions(place: Place, vocabulary: Vocabulary, check: Callable[[Atom], None] | None = None) -> PermissionSet:
    atoms: list[Atom] = []
    for section, key, value in place.entries(_PERMISSIONS, len(tuple(vocabulary))):
        if section not in vocabulary:
            raise key.unknown("permission section", section, vocabulary)
        for each in texts(value, section, level=section in vocabulary.levels):
            try:
                atom = vocabulary.parse(section, each.string("a permission as a string"))
                if check is not None:
                    check(atom)
            except PermissionSyntaxError as error:
                hint = "" if error.nearest is None else f"; did you mean `{error.nearest}`?"
                raise each.error(f"{error.problem}; expected {error.expected}{hint}") from None
            atoms.append(atom)
    return PermissionSet(tuple(atoms))


def texts(place: Place, section: str, *, level: bool) -> Iterator[Place]:
    """The texts of one section of permissions: a list, or one alone where it is a `level`."""
    if level and isinstance(place.node, ron.Str):
        return iter((place,))
    return place.items(f'a list of strings, as in {section}: ["..."]', MAX_PER_SECTION)
