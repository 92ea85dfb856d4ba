"""Grants against a model that is too simple to be wrong: a grant is the set of requests that it allows, and what it comes from.

Whatever is given, derived, revoked, narrowed, used and left to expire, in whatever order: exactly what the model allows is
allowed, so nothing gets wider by being handed on, and revocation reaches everything derived.
"""

from dataclasses import dataclass

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from desk.capabilities.atoms import Atom
from desk.capabilities.codes import PermissionDenied
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.grant import Grant
from desk.capabilities.grants import Grants, Taken
from desk.capabilities.level_atoms import ClockAtom
from desk.capabilities.message_atoms import BusAtom, CallAtom
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.state_atoms import StateAtom

REQUESTS: list[Atom] = [
    *(
        FilesystemAtom.parse(f"{verb}:{path}")
        for verb in ("read", "write", "readwrite")
        for path in ("/a", "/a/b", "/d")
    ),
    *(StateAtom.readwrite("notes", key) for key in ("a", "ab")),
    *(verb("notes", key) for verb in (StateAtom.read, StateAtom.write) for key in ("a", "ab")),
    *(NetworkAtom.connect("x.example", port) for port in (80, 443)),
    *(NetworkAtom.connect(host, 443) for host in ("y.x.example", "10.0.0.1", "10.0.0.2")),
    NetworkAtom.resolve("y.x.example"),
    *(BusAtom.publish(subject) for subject in ("a.b", "a.c", "c.b", "a.b.c")),
    *(ClockAtom.at(level) for level in ("wall", "monotonic")),
    *(CallAtom.to("maps", export) for export in ("draw", "find")),
]

WRITTEN = PermissionSet.parse(
    {
        "filesystem": ["read:/a", "write:/a", "readwrite:/a", "write:/a/b", "readwrite:/a/b", "readwrite:/d"],
        "state": ["readwrite:notes", "read:notes/a*", "write:notes/ab"],
        "network": [
            "x.example:80,443",
            "x.example:80",
            "*.x.example",
            "*:443",
            "y.x.example:1-500",
            "10.0.0.0/8",
            "10.0.0.1",
        ],
        "call": ["maps/*", "maps/draw"],
        "bus": ["publish:**", "publish:a.*", "publish:*.b", "publish:a.b", "publish:a.**"],
        "clock": ["wall", "monotonic"],
    }
)
LOOK_UPS = PermissionSet.parse({"network": ["resolve:y.x.example", "resolve:*.x.example"]}).atoms
ATOMS = st.sampled_from([*WRITTEN, *LOOK_UPS])
SECONDS = st.none() | st.integers(1, 4)
USES = st.none() | st.integers(1, 3)


def within(*atoms: Atom) -> frozenset[Atom]:
    """The requests that they permit, each by itself."""
    return frozenset(request for request in REQUESTS if any(atom.covers(request) for atom in atoms))


@dataclass
class Known:
    """One grant as the model knows it."""

    home: Grants
    permits: frozenset[Atom]
    until: float
    uses: int | None
    parent: "Known | None"
    over: bool = False

    def live(self, now: float) -> bool:
        """By itself, and by what it comes from."""
        return not self.over and now < self.until and all(each.uses != 0 for each in self.lineage())

    def lineage(self) -> "list[Known]":
        """This, and what it comes from."""
        return [self, *([] if self.parent is None else self.parent.lineage())]


class Lives(RuleBasedStateMachine):
    """Two extensions: grants are given to the first, and what is derived from any grant is the second's."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.first, self.second = (Grants(WRITTEN, clock=lambda: self.now) for _ in range(2))
        self.known: dict[Grant, Known] = {}

    @rule(atom=ATOMS, seconds=SECONDS, uses=USES)
    def give(self, atom: Atom, seconds: int | None, uses: int | None) -> None:
        """The operator's word."""
        (grant,) = self.first.give([atom], seconds=seconds, uses=uses)
        until = float("inf") if seconds is None else self.now + seconds
        self.known[grant] = Known(self.first, within(atom), until, uses, None)

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 99), atom=ATOMS, seconds=SECONDS, uses=USES)
    def derive(self, which: int, atom: Atom, seconds: int | None, uses: int | None) -> None:
        """Handing on: what is wider, or comes from what is over, is refused."""
        grant = self.pick(which)
        parent = self.known[grant]
        try:
            derived = grant.derive(atom, seconds=seconds, uses=uses)
        except PermissionDenied:
            assert not parent.live(self.now) or not grant.atom.covers(atom)
            return
        assert parent.live(self.now)
        assert within(atom) <= parent.permits
        assert derived.parent is grant
        self.second.take([derived])
        until = parent.until if seconds is None else min(parent.until, self.now + seconds)
        self.known[derived] = Known(self.second, within(atom), until, uses, parent)

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 99))
    def revoke_one(self, which: int) -> None:
        """A grant that somebody holds."""
        grant = self.pick(which)
        grant.revoke()
        self.end(self.known[grant])

    @rule(atom=ATOMS, of_second=st.booleans())
    def revoke_all_within(self, atom: Atom, of_second: bool) -> None:
        """Nothing of it is left; what has nothing in common with it is not touched; what is left instead is a part."""
        home = self.second if of_second else self.first
        live = self.live(home)
        taken = home.revoke([atom])
        looked_up = () if atom in LOOK_UPS else within(*LOOK_UPS)  # which another port, if it stays, includes
        assert not any(home.decide(request).allowed for request in within(atom).difference(looked_up))
        for grant, known in live.items():
            assert grant.ended == ("narrowed" if grant in taken.ended else None)
            touched = any(part & within(atom) for each in known.lineage() for part in parts(each))
            assert grant not in taken.ended or touched
        self.replaced(taken)

    @rule(atoms=st.lists(ATOMS, max_size=4), of_second=st.booleans())
    def narrow(self, atoms: list[Atom], of_second: bool) -> None:
        """What both permit is left of each, and no more."""
        home = self.second if of_second else self.first
        live = self.live(home)
        taken = home.narrow(atoms)
        for grant, known in live.items():
            pieces = [piece.atom for piece in taken.left if piece.parent is grant]
            kept = within(*pieces) if grant in taken.ended else known.permits
            expected = known.permits & within(*PermissionSet(tuple(atoms)).normalise())
            assert kept == expected or (known.parent is not None and kept < expected)  # with what it comes from
        self.replaced(taken)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds

    @rule(request=st.sampled_from(REQUESTS), of_second=st.booleans())
    def use(self, request: Atom, of_second: bool) -> None:
        """A request that is carried out counts for all that it rests on, once."""
        decision = (self.second if of_second else self.first).decide(request)
        assume(decision.allowed)
        assert all(self.known[grant].live(self.now) for grant in decision.grants)
        decision.spend()
        for each in {id(each): each for grant in decision.grants for each in self.known[grant].lineage()}.values():
            if each.uses is not None:
                each.uses -= 1

    @invariant()
    def allowed_is_what_the_model_allows(self) -> None:
        """For both, and for every request there is."""
        for home in (self.first, self.second):
            live = [known.permits for known in self.live(home).values()]
            for request in REQUESTS:
                expected = any(request in permits for permits in live) or all(
                    any(part in permits for permits in live) for part in request.parts()
                )
                assert home.decide(request).allowed is expected, request

    @invariant()
    def records_are_what_is_live(self) -> None:
        """No more and no fewer, and `granted` says the same."""
        for home in (self.first, self.second):
            assert set(home.records()) == set(self.live(home))
            assert set(home.granted) == {grant.atom for grant in home.records()}

    def pick(self, which: int) -> Grant:
        """One of all grants that there ever were."""
        return list(self.known)[which % len(self.known)]

    def live(self, home: Grants) -> dict[Grant, Known]:
        """What the model says is live."""
        return {grant: known for grant, known in self.known.items() if known.home is home and known.live(self.now)}

    def end(self, root: Known) -> None:
        """It and what comes from it."""
        for known in self.known.values():
            if any(each is root for each in known.lineage()):
                known.over = True

    def replaced(self, taken: Taken) -> None:
        """Tell the model."""
        for piece in taken.left:
            assert piece.parent is not None
            parent = self.known[piece.parent]
            assert within(piece.atom) <= parent.permits
            self.known[piece] = Known(parent.home, within(piece.atom), parent.until, None, parent)
        for grant in taken.ended:
            self.known[grant].over = True


def parts(known: Known) -> list[frozenset[Atom]]:
    """What it permits, by the part of a request: who may read and write has something in common with who may write."""
    return [frozenset(request.parts()) for request in known.permits] + [known.permits]


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
