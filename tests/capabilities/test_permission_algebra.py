"""What holds for all permissions, of every section: covering is an order, and putting together or taking away never widens."""

import itertools
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.capabilities.env_atoms import EnvAtom
from desk.capabilities.hosts import Addresses, Name
from desk.capabilities.level_atoms import ClockAtom, GpuAtom, LevelAtom, RandomAtom
from desk.capabilities.nn_atoms import NnAtom
from desk.capabilities.permissions import (
    STANDARD,
    Atom,
    BusAtom,
    CallAtom,
    FilesystemAtom,
    NetworkAtom,
    PermissionSet,
    PermissionSyntaxError,
    parse_atom,
)
from desk.capabilities.state_atoms import StateAtom
from desk.capabilities.system_atoms import WORDS, SystemAtom

# Generated atoms: small alphabets, so that coverage happens often.

labels = st.sampled_from(["a", "b", "c-1"])
names = st.lists(labels, min_size=2, max_size=4).map(".".join)
v4_blocks = st.tuples(st.integers(0, 3), st.integers(28, 32)).map(
    lambda pair: f"10.0.0.{pair[0] << (32 - pair[1]) & 15}/{pair[1]}"
)
v6_blocks = st.tuples(st.integers(0, 3), st.integers(124, 128)).map(
    lambda pair: f"[2001:db8::{pair[0] << (128 - pair[1]) & 15:x}/{pair[1]}]"
)
hosts = names | names.map("*.{}".format) | st.just("*") | v4_blocks | v6_blocks
port_numbers = st.integers(1, 6) | st.integers(1, 65535)
port_ranges = st.tuples(port_numbers, port_numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
ports = st.lists(port_numbers.map(str) | port_ranges, min_size=1, max_size=3).map(",".join) | st.just("*")
network_texts = st.one_of(
    hosts,
    st.builds("{}:{}:{}".format, st.sampled_from(["connect", "udp"]), hosts, ports),
    st.builds("resolve:{}".format, names | names.map("*.{}".format)),
    st.builds("listen:{}:{}".format, st.sampled_from(["127.0.0.1", "[::1]"]), st.sampled_from(["1024", "1024-1030"])),
)
segments = st.sampled_from(["a", "b", "ab", "caf\u00e9"])
filesystem_texts = st.tuples(
    st.sampled_from(["read:@data", "write:@data", "read:/a", "write:/a", "readwrite:/a", "write:/ab"]),
    st.lists(segments, max_size=3),
).map(lambda parts: "/".join([parts[0], *parts[1]]))
bus_texts = st.tuples(
    st.sampled_from(["publish:a", "publish:b", "subscribe:a", "publish:*"]),
    st.lists(st.sampled_from(["a", "b", "*"]), max_size=3),
    st.lists(st.just("**"), max_size=1),
).map(lambda parts: ".".join([parts[0], *parts[1], *parts[2]]))
call_texts = st.builds("{}/{}".format, st.sampled_from(["x", "y"]), st.sampled_from(["a", "b", "*"]))
env_texts = st.builds("{}{}".format, st.sampled_from(["A", "AB", "AB_C", "B", "L", "P"]), st.sampled_from(["", "*"]))
state_texts = st.builds(
    "{}:{}{}".format,
    st.sampled_from(["read", "write", "readwrite"]),
    st.sampled_from(["own", "a"]),
    st.sampled_from(["", "/k", "/k*", "/k/*", "/k/l", "/k/l*", "/kl", "/kl*"]),
)
nn_texts = st.builds("infer:{}{}".format, st.sampled_from(["a", "b", "*"]), st.sampled_from(["", "@cpu", "@gpu"]))
TEXTS = {
    "network": network_texts,
    "filesystem": filesystem_texts,
    "env": env_texts,
    "clock": st.sampled_from(ClockAtom.LEVELS),
    "random": st.sampled_from(RandomAtom.LEVELS),
    "state": state_texts,
    "bus": bus_texts,
    "call": call_texts,
    "nn": nn_texts,
    "gpu": st.sampled_from(GpuAtom.LEVELS),
    "system": st.sampled_from(WORDS),
}
by_section = st.sampled_from(sorted(TEXTS))
same_section = by_section.map(lambda section: TEXTS[section].map(lambda text: parse_atom(section, text)))
atoms = same_section.flatmap(lambda atoms: atoms)
pairs = same_section.flatmap(lambda atoms: st.tuples(atoms, atoms))
triples = same_section.flatmap(lambda atoms: st.tuples(atoms, atoms, atoms))
lists = same_section.flatmap(lambda atoms: st.lists(atoms, max_size=6)) | st.lists(atoms, max_size=6)
sets = lists.map(lambda atoms: PermissionSet(tuple(atoms)))


def requests_of(atom: Atom) -> list[Atom]:
    """Return concrete requests at and around the edges of what `atom` permits."""
    if isinstance(atom, NetworkAtom):
        return _network_requests(atom)
    if isinstance(atom, FilesystemAtom):
        sibling = f"{atom.path}b" if "/" in atom.path else "@tmp"
        paths = [atom.path, f"{atom.path}/a", f"{atom.path}/a/b", sibling]
        return [request(path) for path in paths for request in (FilesystemAtom.read, FilesystemAtom.write)]
    if isinstance(atom, BusAtom):
        subject = [word.replace("*", "a") for word in atom.pattern.text.replace("**", "*").split(".")]
        subjects = [".".join(subject), ".".join([*subject, "b"]), ".".join([*subject[:-1], "b"])]
        return [request(text) for text in subjects for request in (BusAtom.publish, BusAtom.subscribe)]
    if isinstance(atom, CallAtom):
        return [CallAtom.to(atom.extension, export) for export in ("a", "b", "c")]
    return _other_requests(atom)


def _other_requests(atom: Atom) -> list[Atom]:
    if isinstance(atom, EnvAtom):
        return [EnvAtom.read(name) for name in (atom.name, f"{atom.name}B", "A", "C")]
    if isinstance(atom, LevelAtom):
        return [type(atom).at(level) for level in atom.LEVELS[1:]]
    if isinstance(atom, StateAtom):
        keys = ["k", "k/l", "kl", "m", atom.key.removesuffix("/") or "x", f"{atom.key}l"]
        ways = (StateAtom.read, StateAtom.write, StateAtom.list)
        return [way(atom.namespace, key) for way in ways for key in keys]
    if isinstance(atom, NnAtom):
        return [NnAtom.infer(model, device) for model in ("a", "b", "c") for device in ("cpu", "gpu")]
    assert isinstance(atom, SystemAtom)
    return [SystemAtom.to(word) for word in WORDS]


def _network_requests(atom: NetworkAtom) -> list[Atom]:
    edges = {edge for first, last in atom.ports.ranges() for edge in (first, last, last + 1)}
    numbers = [port for port in edges | {443} if port <= 65535]
    names = ["a.b"]
    addresses = ["10.0.0.1", "::1"]
    if isinstance(atom.host, Addresses):
        network = atom.host.network
        addresses += [str(network[0]), str(network[-1]), str(network[-1] + 1)]
    elif isinstance(atom.host, Name):
        names += [atom.host.name, f"a.{atom.host.name}", f"b.a.{atom.host.name}", f"x{atom.host.name}"]
    return [
        *(
            request(host, port)
            for request in (NetworkAtom.connect, NetworkAtom.udp)
            for host in names + addresses
            for port in numbers
        ),
        *(NetworkAtom.listen(address, port) for address in addresses for port in numbers if port >= 1024),
        *(NetworkAtom.resolve(name) for name in names),
    ]


def test_every_section_is_drawn_from() -> None:
    """Whoever adds a section adds texts of it here."""
    assert set(TEXTS) == set(STANDARD)


@given(atoms)
def test_canonical_form_reads_back(atom: Atom) -> None:
    """The canonical text of an atom is that atom."""
    assert parse_atom(atom.section, atom.text) == atom


@given(triples)
@settings(max_examples=400)
def test_covers_is_an_order(triple: tuple[Atom, Atom, Atom]) -> None:
    """Covering is reflexive and transitive, and both ways only between equals."""
    a, b, c = triple
    assert a.covers(a)
    assert not (a.covers(b) and b.covers(c)) or a.covers(c)
    assert not (a.covers(b) and b.covers(a)) or a == b


@given(pairs)
@settings(max_examples=400)
def test_whoever_covers_allows_as_much(pair: tuple[Atom, Atom]) -> None:
    """If a covers b, every concrete request that b allows is allowed by a."""
    a, b = pair
    for request in requests_of(b):
        assert not (a.covers(b) and b.covers(request)) or a.covers(request)


@given(sets, atoms)
@settings(max_examples=300)
def test_a_set_permits_what_its_atoms_permit_together(permissions: PermissionSet, atom: Atom) -> None:
    """A set allows a one-verb, one-port request exactly if one of its atoms does; merging neither adds nor loses."""
    for request in requests_of(atom):
        assert permissions.covers(request) is any(mine.covers(request) for mine in permissions)
        found = permissions.covering(request)
        assert (found is not None) is permissions.covers(request)
        assert found is None or found.covers(request)


@given(sets, sets, atoms)
@settings(max_examples=300)
def test_asking_more(new: PermissionSet, old: PermissionSet, atom: Atom) -> None:
    """What an update allows is allowed already, or by the part named as new; and nothing old is named as new."""
    more = new.asks_more(old)
    beyond = PermissionSet(more)
    assert new.asks_more(PermissionSet((*old, *new))) == ()
    assert new.asks_more(new) == ()
    for part in more:
        assert new.covers(part)
        assert not old.covers(part)
    for request in [*requests_of(atom), *(request for mine in new for request in requests_of(mine))]:
        assert not new.covers(request) or old.covers(request) or beyond.covers(request)


@given(lists)
@settings(max_examples=400)
def test_the_whole_and_its_parts(atoms: list[Atom]) -> None:
    """`parts` are all of an atom, `joined` adds only what the others permit, `minus` leaves what they do not, and no more."""
    everything = PermissionSet(tuple(atoms))
    for atom in atoms:
        whole = PermissionSet((atom,))
        assert all(atom.covers(part) for part in atom.parts())
        assert PermissionSet(atom.parts()).asks_more(whole) == whole.asks_more(PermissionSet(atom.parts())) == ()
        joined = atom.joined(atoms)
        assert joined.covers(atom)
        assert everything.covers(joined)
        others = [other for other in atoms if other != atom]
        left = atom.minus(others)
        rest = PermissionSet((*others, *filter(None, [left])))
        assert left is None or atom.covers(left)
        assert all(rest.covers(request) for request in requests_of(atom) if atom.covers(request))


@given(pairs)
@settings(max_examples=400)
def test_what_two_permit_both(pair: tuple[Atom, Atom]) -> None:
    """`meet` is covered by both, and permits every request that both do: but for looking up what both may connect to."""
    a, b = pair
    both = a.meet(b)
    assert both is None or (a.covers(both) and b.covers(both))
    for request in [*requests_of(a), *requests_of(b)]:
        if a.covers(request) and b.covers(request) and not request.text.startswith("resolve:"):
            assert both is not None
            assert both.covers(request)


@given(atoms, sets)
@settings(max_examples=400)
def test_asking_for_more_is_not_being_covered(atom: Atom, granted: PermissionSet) -> None:
    """One permission asks for more than a set grants exactly if the set does not cover it; so does what is left of it."""
    more = PermissionSet((atom,)).asks_more(granted)
    assert (more == ()) is granted.covers(atom)
    for part in more:
        assert not granted.covers(part)
        assert atom.covers(part)


@given(sets, atoms)
@settings(max_examples=400)
def test_the_normal_form_decides_the_same(permissions: PermissionSet, atom: Atom) -> None:
    """However permissions were written, what they come to permits the same, and says so in as few atoms as it takes."""
    normal = permissions.normalise()
    assert normal.asks_more(permissions) == permissions.asks_more(normal) == ()
    assert normal.normalise() == normal
    assert len(normal.atoms) <= len(permissions.atoms)
    for wanted in [atom, *requests_of(atom), *(request for mine in permissions for request in requests_of(mine))]:
        assert normal.covers(wanted) is permissions.covers(wanted)
    for one, other in itertools.permutations(normal, 2):
        assert not one.covers(other)


@given(
    st.text("LDYPTHONld_*", min_size=1, max_size=12),
    st.sampled_from(["LD_X", "DYLD_X", "PYTHONX", "pythonx", "PYTHON"]),
)
def test_no_wildcard_reaches_what_is_refused(prefix: str, refused: str) -> None:
    """Whatever prefix can be written, a request for a name that loads code is malformed, so there is nothing to cover."""
    with pytest.raises(PermissionSyntaxError):
        EnvAtom.read(refused)
    try:
        atom = EnvAtom.parse(f"{prefix}*")
    except PermissionSyntaxError:
        return
    assert not atom.name.upper().startswith(("LD_", "DYLD_", "PYTHON"))


@given(st.text(max_size=40) | st.text(string.printable, max_size=40), by_section)
def test_any_text_is_an_atom_or_a_syntax_error(text: str, section: str) -> None:
    """No text makes the parser do anything but return an atom that reads back, or raise its error."""
    try:
        atom = parse_atom(section, text)
    except PermissionSyntaxError as error:
        message = str(error)
    else:
        message = str(atom)
        assert parse_atom(section, atom.text) == atom
    assert message.isascii()
    assert message.isprintable()
