"""Regular expressions that a stranger may write: matching takes one step for each character of the text, always.

Python's `re` tries one way through a pattern after another, and there can be exponentially many: `(a+)+b` on thirty `a`s
takes minutes. Here a pattern (`pattern_syntax`) becomes a table of states before it is used:

* Its counts are written out, and each character or class in it is a *position*. `follow[p]` are the positions that can
  come after `p` (Glushkov's construction; sets of positions are bits of an integer).
* A *state* is a set of positions: all the places in the pattern where one could be after the text so far. A character
  leads from each state to just one other.

There can be exponentially many states, too: `(a|b)*a(a|b){30}` has to remember thirty characters. Such a pattern is refused
when it is made, so making one is bounded work (`MAX_WORK`), and matching never depends on what the pattern is.
"""

from bisect import bisect_right
from collections.abc import Mapping
from functools import reduce
from typing import Final

from desk.bus.types.character_sets import Ranges
from desk.bus.types.pattern_syntax import Characters, Choice, PatternError, Repeat, Sequence, Tree, parse

__all__ = ["Pattern", "PatternError"]

MAX_WORK: Final = 10_000
"""Steps to make the states of a pattern, some milliseconds: one for each position and each kind of character in a state."""

_REMEMBERED: Final = 8_192
"""Steps between states that a pattern remembers by character, about a megabyte."""


class Pattern:
    """A compiled regular expression of RFC 9485 (I-Regexp) without `\\p`. Equal if the texts are.

    Raises `PatternError` for what is not one, has more than 1,000 characters, written or counted out, groups nested more
    than 32 deep, or needs too many states.
    """

    __slots__ = ("_start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._start = _states(parse(text))

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern describes the whole of `text`. One step for each character."""
        state = self._start
        for character in text:
            state = state[character]
        return state.accepts

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Pattern) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


class _Alphabet:
    """The characters in kinds: those of one kind are in the same classes of the pattern, so it cannot tell them apart."""

    def __init__(self, classes: Mapping[Ranges, int]) -> None:
        """`classes`: the positions that match each set of characters, as bits."""
        changes: dict[int, int] = {0: 0}  # where positions begin or cease to match
        for ranges, positions in classes.items():
            for low, high in ranges:
                changes[low] = changes.get(low, 0) ^ positions
                changes[high + 1] = changes.get(high + 1, 0) ^ positions
        kinds: dict[int, int] = {}
        self._kind_from: list[int] = []
        self._starts = sorted(changes)
        matching = 0
        for start in self._starts:
            matching ^= changes[start]
            self._kind_from.append(kinds.setdefault(matching, len(kinds)))
        self.matching = list(kinds)
        """For each kind, the positions that match its characters."""
        self.room = _REMEMBERED

    def kind(self, character: str) -> int:
        return self._kind_from[bisect_right(self._starts, ord(character)) - 1]


class _State(dict[str, "_State"]):
    """Where each character leads. It looks a character up by its kind first, and then remembers it."""

    __slots__ = ("_alphabet", "accepts", "row")

    def __init__(self, alphabet: _Alphabet, *, accepts: bool) -> None:
        super().__init__()
        self._alphabet = alphabet
        self.accepts = accepts
        self.row: list[_State] = []  # by kind

    def __missing__(self, character: str) -> "_State":
        following = self.row[self._alphabet.kind(character)]
        if self._alphabet.room:
            self._alphabet.room -= 1
            self[character] = following
        return following


def _states(tree: Tree | None) -> _State:
    """The state to start in; all others can be reached from it.

    Sets of positions from which the same can follow are one state, so that `(a|b|c)` has no more of them than `[abc]`.
    """
    positions = _Positions()
    whole = positions.add(tree) if tree else _Part(optional=True, first=0, last=0)
    alphabet = _Alphabet(positions.classes)
    begin = 1 << len(positions.follow)  # a position before all others
    accepting = whole.last | (begin if whole.optional else 0)
    follow = [*positions.follow, whole.first]

    by_positions: dict[int, _State] = {}
    by_future: dict[tuple[int, bool], _State] = {}
    todo: list[tuple[int, _State]] = []
    work = 0

    def new_state(at: int) -> _State:
        nonlocal work
        work += at.bit_count()
        ahead = 0
        for position in _bits(at):
            ahead |= follow[position]
        future = ahead, bool(at & accepting)
        if (state := by_future.get(future)) is None:
            work += len(alphabet.matching)
            state = by_future[future] = _State(alphabet, accepts=future[1])
            todo.append((ahead, state))
        by_positions[at] = state
        if work > MAX_WORK:
            raise PatternError("this needs too many states; expected shorter counts behind `*`, `+` and `.`", 0)
        return state

    start = new_state(begin)
    while todo:
        ahead, state = todo.pop()
        for matching in alphabet.matching:
            at = ahead & matching
            known = by_positions.get(at)
            state.row.append(new_state(at) if known is None else known)
    return start


class _Part:
    """A part of a pattern: where one can be first and last in it, and whether it can be passed over."""

    __slots__ = ("first", "last", "optional")

    def __init__(self, *, optional: bool, first: int, last: int) -> None:
        self.optional = optional
        self.first = first
        self.last = last


class _Positions:
    """The positions of a pattern: which of them match each set of characters, and which can follow each."""

    def __init__(self) -> None:
        self.classes: dict[Ranges, int] = {}
        self.follow: list[int] = []

    def add(self, tree: Tree) -> _Part:
        """Adds all positions of `tree`. Recursion is bounded by `MAX_DEPTH`."""
        match tree:
            case Characters(ranges):
                position = 1 << len(self.follow)
                self.classes[ranges] = self.classes.get(ranges, 0) | position
                self.follow.append(0)
                return _Part(optional=False, first=position, last=position)
            case Sequence(parts):
                # From the right, so that what is joined on the left is always a single part: time stays linear.
                whole = self.add(parts[-1])
                for part in reversed(parts[:-1]):
                    whole = self._join(self.add(part), whole)
                return whole
            case Choice(branches):
                parts = [self.add(branch) for branch in branches]
                return _Part(
                    optional=any(part.optional for part in parts),
                    first=reduce(int.__or__, (part.first for part in parts)),
                    last=reduce(int.__or__, (part.last for part in parts)),
                )
            case Repeat(part, low, high):
                return self._repeat(part, low, high)

    def _repeat(self, tree: Tree, low: int, high: int | None) -> _Part:
        """`x{2,4}` as `xx(x(x)?)?`, `x{2,}` as `xx+`: each `x` is followed by the next one only."""
        copies = max(low, 1) if high is None else high
        whole: _Part | None = None
        for number in range(copies, 0, -1):
            copy = self.add(tree)
            if whole is None and high is None:
                self._connect(copy.last, copy.first)
            whole = copy if whole is None else self._join(copy, whole)
            whole.optional |= number > low
        assert whole is not None
        return whole

    def _join(self, left: _Part, right: _Part) -> _Part:
        self._connect(left.last, right.first)
        return _Part(
            optional=left.optional and right.optional,
            first=left.first | (right.first if left.optional else 0),
            last=right.last | (left.last if right.optional else 0),
        )

    def _connect(self, last: int, first: int) -> None:
        for position in _bits(last):
            self.follow[position] |= first


def _bits(mask: int) -> list[int]:
    """The numbers of the bits that are set."""
    numbers: list[int] = []
    while mask:
        lowest = mask & -mask
        numbers.append(lowest.bit_length() - 1)
        mask ^= lowest
    return numbers
