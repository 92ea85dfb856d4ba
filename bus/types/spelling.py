"""How parts of a type are written in a manifest, which is RON: names, and the ranges of a constraint."""

from desk.bus.ron.literals import SPECIAL_FLOATS

_RON_WORDS = frozenset({"true", "false", "None", "Some", *SPECIAL_FLOATS})


def spelled_name(name: str) -> str:
    """A name that stands as a value: `red`, or `r#true` and `r#two-words`, which would not be names without `r#`."""
    return f"r#{name}" if name in _RON_WORDS or "-" in name else name


def spelled_range(low: float | None, high: float | None) -> str:
    """`1..=10`, `1..` or `..=10`; nothing for a range that is open on both sides. Both bounds belong to it."""
    if low is None and high is None:
        return ""
    return f"{'' if low is None else low}..{'' if high is None else f'={high}'}"
