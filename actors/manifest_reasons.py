"""Why an extension asks for what it asks for: the field `reasons`, for the person who decides.

    permissions: {network: ["api.weather.com"], filesystem: ["write:/srv/maps"]},
    reasons: {"network": "to fetch the forecast", "write:/srv/maps": "to keep what was drawn"},

A key is a section, or one permission as it is written there or in its canonical form. A reason for what nobody asked for is an
error. It is the author's word, and shown as such: nothing depends on it.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from desk.actors.manifest_place import Place
from desk.bus.ron.text import shown
from desk.capabilities.permissions import Atom, PermissionSet, PermissionSyntaxError
from desk.capabilities.vocabulary import Vocabulary

MAX_REASONS = 64
MAX_REASON = 200


def read_reasons(place: Place) -> Mapping[str, str]:
    """The field `reasons`, as it is written."""
    entries = place.entries('a map, as in {network: "to fetch the forecast"}', MAX_REASONS)
    return MappingProxyType({name: value.line(MAX_REASON) for name, _, value in entries})


def canonical_reasons(
    place: Place, reasons: Mapping[str, str], requested: PermissionSet, vocabulary: Vocabulary
) -> Mapping[str, str]:
    """The `reasons` that stand at `place`, by section or by the canonical text of what is `requested`.

    Raises `ManifestError` for a key that is neither, and for two reasons for one permission.
    """
    sections = tuple(dict.fromkeys(atom.section for atom in requested))
    atoms = frozenset(requested)
    canonical: dict[str, str] = {}
    for name, key, _ in place.entries("a map", MAX_REASONS):
        means = (
            [name] if name in sections else [atom.text for atom in _read(name, sections, vocabulary) if atom in atoms]
        )
        if not means:
            raise key.unknown(
                "section or permission that is asked for", name, (*sections, *(each.text for each in requested))
            )
        for text in means:
            if text in canonical:
                raise key.error(f"a second reason for {shown(text)}; expected one")
            canonical[text] = reasons[name]
    return MappingProxyType(canonical)


def _read(text: str, sections: Iterable[str], vocabulary: Vocabulary) -> Iterator[Atom]:
    """What `text` means in each of the `sections` where it means something."""
    for section in sections:
        try:
            yield vocabulary.parse(section, text)
        except PermissionSyntaxError:
            continue


def reason_for(atom: Atom, reasons: Mapping[str, str], requested: PermissionSet) -> str:
    """The reason given for `atom`: that of a permission that covers it, or else of its section; empty if there is none."""
    if not reasons:
        return ""
    covering = (mine.text for mine in requested if mine.text in reasons and mine.covers(atom))
    return reasons.get(next(covering, atom.section), "")
