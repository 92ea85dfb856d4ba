"""Permissions that are levels, each including those below it: clocks, random numbers, the graphics processor.

    clock  = "none" | "monotonic:coarse" | "monotonic" | "wall:coarse" | "wall" ;
    random = "none" | "seeded" | "secure" ;
    gpu    = "none" | "limited:webgl1" | "limited:webgl2" | "limited:webgpu" | "full" ;

A manifest may write one of these sections as a single text: `clock: "wall:coarse"`. `none` permits nothing, and is what
a section that is left out amounts to; it cannot be requested. A fine clock is a permission of its own because it can be used
to measure what others compute.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, unknown_word

_NONE = "none"


@dataclass(frozen=True, slots=True)
class LevelAtom(Atom):
    """One level of a section whose levels form a chain."""

    LEVELS: ClassVar[tuple[str, ...]]
    """From `none` to the one that includes all."""

    level: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the levels; raise `PermissionSyntaxError`."""
        check_text(text)
        if text not in cls.LEVELS:
            raise unknown_word("level", text, cls.LEVELS)
        return cls(text)

    @classmethod
    def at(cls, level: str) -> Self:
        """A request for what `level` permits. Raises `PermissionSyntaxError`, as all requests do."""
        if level == _NONE:
            raise PermissionSyntaxError('"none" permits nothing to be requested', ", ".join(cls.LEVELS[1:]))
        return cls.parse(level)

    @property
    def rank(self) -> int:
        """How many levels are below this one."""
        return self.LEVELS.index(self.level)

    @property
    def text(self) -> str:
        return self.level

    def parts(self) -> tuple[Atom, ...]:
        return () if self.level == _NONE else (self,)

    def covers(self, other: Atom) -> bool:
        return type(other) is type(self) and other.rank <= self.rank

    def near(self, other: Atom) -> bool:
        return type(other) is type(self)


class ClockAtom(LevelAtom):
    """The right to be told the time: since some moment (`monotonic`) or of day (`wall`), `coarse` or as fine as there is."""

    __slots__ = ()
    section = "clock"
    LEVELS = (_NONE, "monotonic:coarse", "monotonic", "wall:coarse", "wall")


class RandomAtom(LevelAtom):
    """The right to random numbers: from a seed, the same in each run, or the operating system's, which nobody can foretell."""

    __slots__ = ()
    section = "random"
    LEVELS = (_NONE, "seeded", "secure")


class GpuAtom(LevelAtom):
    """The right to the graphics processor, up to one of the interfaces of the web or without restriction."""

    __slots__ = ()
    section = "gpu"
    LEVELS = (_NONE, "limited:webgl1", "limited:webgl2", "limited:webgpu", "full")

    @property
    def served(self) -> bool:
        return False
