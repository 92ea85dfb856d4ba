"""What may stand in front of a RON value: `#![enable(implicit_some)]`, `#![type = "..."]`, `#![schema = "..."]`.

ron-rs has four extensions. Three of them change what a text means (`unwrap_newtypes`, `unwrap_variant_newtypes`) or which
texts are right (`explicit_struct_names`) for a reader who knows the Rust types. We do not, so we refuse them instead of
reading something else than was written. `type` and `schema` are notes to editors: read over, as ron-rs does.
"""

from desk.bus.ron.literals import string
from desk.bus.ron.scanner import Scanner
from desk.bus.ron.text import shown

_SUPPORTED = "implicit_some"


def skip_attributes(scan: Scanner) -> None:
    """Moves over all attributes, and the space in front of, between and behind them."""
    scan.skip_space()
    while scan.take("#"):
        scan.skip_space()
        if not scan.take("!"):
            raise scan.unexpected("`!`, as in `#![enable(implicit_some)]`", hint="a comment begins with `//`")
        scan.skip_space()
        scan.need("[")
        at = scan.at
        match scan.name():
            case ("enable", False):
                scan.need("(")
                _skip_extensions(scan)
                scan.need(")")
            case ("type" | "schema", False):
                scan.need("=")
                string(scan)
            case _:
                raise scan.unexpected("`enable`, `type` or `schema`", at)
        scan.need("]")


def _skip_extensions(scan: Scanner) -> None:
    """Moves over one or more names with commas between them, perhaps one behind."""
    more = True
    while more:
        at = scan.at
        name = scan.name()
        if name is None:
            raise scan.unexpected("the name of an extension")
        if name.text != _SUPPORTED:
            problem = f"the extension {shown(name.text)} is not supported"
            raise scan.error(problem, expected=f"`{_SUPPORTED}` or none", at=at)
        scan.skip_space()
        comma = scan.take(",")
        scan.skip_space()
        more = comma and not scan.looking_at(")")
