"""What an operator decides, once for all extensions of a host.

    policy = Policy(
        deny={"network": ["10.0.0.0/8"], "filesystem": ["readwrite:/srv/secret"]},        # whatever is granted
        ceiling={"network": ["*:443"], "clock": "wall:coarse"},                           # nothing beyond this
        grants={"weather-widget": {"network": ["api.weather.com"]}},                      # to this one, when it is loaded
        observe={"new-widget"},                                                           # allowed and counted, not enforced
        decide=lambda manifest: "requested" if manifest.name in trusted else None,        # for those not in `grants`
        ask=ask_a_person,                                                                 # when only a grant is missing
    )
    async with Host(policy=policy) as host: ...

A request is allowed if the manifest asks for it, a grant covers it, the ceiling covers it and no deny rule reaches it. Deny
rules and the ceiling always win: over grants, over a person's answer, and over `observe`. Neither gives anything. A deny rule for
a host without ports is for all of its ports; what else it reaches is said in `reach.py`. What belongs to an extension alone and
takes no permission, its own state, is not theirs.

`Policy.read` reads the same from a file, `docs/policy.md`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias, cast

from desk.capabilities.addresses import IPAddress
from desk.capabilities.atoms import Atom
from desk.capabilities.capability import Capability, vocabulary_with
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy_file import EXTENSION_NAME, PolicyFile, is_extension_name, read_policy_file
from desk.capabilities.prompting import AskPerson
from desk.capabilities.reach import at_address, check_rule, reaches
from desk.capabilities.vocabulary import Vocabulary

Permissions: TypeAlias = Mapping[str, str | Sequence[str]] | PermissionSet
"""Permissions by section, in the manifest's grammar, `{"network": ["api.weather.com:80"]}`; or such as were read already, which
are taken as they are."""

Given: TypeAlias = Permissions | Literal["requested"]
"""Permissions, or all that the manifest asks for."""


class Applicant(Protocol):
    """What a policy is told of an extension that is loaded: its manifest."""

    @property
    def name(self) -> str:
        """The name that it gives itself."""
        ...

    @property
    def requested(self) -> PermissionSet:
        """All that it asks for."""
        ...

    def reason(self, atom: Atom) -> str:
        """What it says why it needs one of them, its author's words; empty if it does not say."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """What a policy says of the requests of one extension."""

    deny: Mapping[str, tuple[Atom, ...]]
    """By section."""
    ceiling: PermissionSet | None
    observe: bool
    """Whether what is only not granted is allowed, and counted."""

    def forbids(self, atom: Atom) -> str | None:
        """The rule that refuses the request `atom`, as in `deny network connect:*:25`; None if there is none.

        It is for the operator, not for a guest, which may learn from it what else there is.
        """
        denied = self.denies(atom)
        if denied is None and self.ceiling is not None and not self.ceiling.covers(atom):
            return f"ceiling, which has no {atom.section} that covers it"
        return denied

    def denies(self, atom: Atom) -> str | None:
        """The same of the deny rules alone."""
        for rule in self.deny.get(atom.section, ()):
            if reaches(rule, atom):
                return f"deny {rule}"
        return None

    def denies_address(self, atom: NetworkAtom, address: IPAddress) -> str | None:
        """The deny rule that refuses the request `atom` when its name stands for `address`: whoever looks it up must ask.

        The ceiling is not asked, since it covers the name.
        """
        return self.denies(at_address(atom, address))


class Policy:
    """See the module's docstring. Immutable, and the same for any number of hosts."""

    def __init__(
        self,
        *,
        deny: Permissions | None = None,
        ceiling: Permissions | None = None,
        grants: Mapping[str, Given] = MappingProxyType({}),
        observe: bool | Collection[str] = False,
        decide: Callable[[Applicant], Given | None] | None = None,
        ask: AskPerson | None = None,
        capabilities: Iterable[Capability] = (),
    ) -> None:
        """No `ceiling` is none at all; one that leaves out a section permits nothing there. `observe=True` is for all.

        `decide` is called when an extension is loaded that has no entry in `grants`; what it raises, loading raises. `ask` is
        awaited for a request that lacks only a grant (`prompting.py`). `capabilities` are the app's own, as the host has them,
        whose permissions may be named here. Raises `PermissionSyntaxError`, `ValueError` for what no extension can be called,
        and `TypeError` for what is no mapping at all.
        """
        if isinstance(observe, str):
            raise TypeError(f"observe is True or a set of names of extensions, as in {{{observe!r:.80}}}")
        self.vocabulary = vocabulary_with(capabilities)
        self.deny = PermissionSet() if deny is None else read_permissions(deny, self.vocabulary.forbidding, "deny")
        for rule in self.deny:
            check_rule(rule)
        self.ceiling = None if ceiling is None else self._read(ceiling, "ceiling")
        for name in (*grants, *(() if isinstance(observe, bool) else observe)):
            if not is_extension_name(name):
                raise ValueError(f"{name!r:.80} is no name of an extension; expected {EXTENSION_NAME}")
        given: dict[str, Given] = {name: self._given(each, f"grants[{name!r}]") for name, each in grants.items()}
        self.grants: Mapping[str, Given] = MappingProxyType(given)
        self.observe = observe if isinstance(observe, bool) else frozenset(observe)
        self.decide = decide
        self.ask = ask
        self._deny = _by_section(self.deny)

    def __repr__(self) -> str:
        """Like `<Policy: 2 deny rules, a ceiling, grants for 1 extension, asks>`."""
        said = [f"{len(self.deny.atoms)} deny rules", f"grants for {len(self.grants)} extensions"]
        said += ["a ceiling"] if self.ceiling is not None else []
        said += ["observes"] if self.observe else []
        said += ["decides"] if self.decide is not None else []
        said += ["asks"] if self.ask is not None else []
        return f"<Policy: {', '.join(said)}>"

    @classmethod
    def read(
        cls,
        path: Path | str,
        *,
        decide: Callable[[Applicant], Given | None] | None = None,
        ask: AskPerson | None = None,
        capabilities: Iterable[Capability] = (),
    ) -> "Policy":
        """The policy that a file holds. Raises `PolicyError`, which shows the place, and `OSError` if it cannot be read."""
        capabilities = tuple(capabilities)
        said: PolicyFile = read_policy_file(Path(path), vocabulary_with(capabilities))
        return cls(
            deny=said.deny,
            ceiling=said.ceiling,
            grants=said.grants,
            observe=said.observe,
            decide=decide,
            ask=ask,
            capabilities=capabilities,
        )

    def rules(self, extension: str) -> PolicyRules:
        """What holds for the requests of one extension."""
        observe = self.observe if isinstance(self.observe, bool) else extension in self.observe
        return PolicyRules(self._deny, self.ceiling, observe)

    def granted(self, applicant: Applicant) -> PermissionSet:
        """What an extension gets when it is loaded, unless the app says otherwise; at most what it asks for counts.

        Raises what `decide` does, `PermissionSyntaxError` or `TypeError` for an answer of it that is none.
        """
        given = self.grants.get(applicant.name)
        if given is None and self.decide is not None:
            answer = self.decide(applicant)
            given = None if answer is None else self._given(answer, f"decide({applicant.name})")
        if given is None:
            return PermissionSet()
        return given if isinstance(given, PermissionSet) else applicant.requested

    def _given(self, given: Given, what: str) -> "PermissionSet | Literal['requested']":
        return "requested" if given == "requested" else self._read(given, what)

    def _read(self, given: object, what: str) -> PermissionSet:
        return read_permissions(given, self.vocabulary, what)


def read_permissions(given: object, vocabulary: Vocabulary, what: str) -> PermissionSet:
    """The permissions that somebody has given as `what`.

    Raises `PermissionSyntaxError`, and `TypeError` for what is no mapping at all: it comes from untyped code, too.
    """
    if isinstance(given, PermissionSet):
        return given
    if not isinstance(given, Mapping):
        expected = 'permissions by section, as in {"network": ["api.weather.com"]}'
        raise TypeError(f"{what} is {given!r:.80}; expected {expected}")
    return PermissionSet.parse(cast("Mapping[str, str | Sequence[str]]", given), vocabulary)


def _by_section(atoms: Iterable[Atom]) -> Mapping[str, tuple[Atom, ...]]:
    found: dict[str, tuple[Atom, ...]] = {}
    for atom in atoms:
        found[atom.section] = (*found.get(atom.section, ()), atom)
    return MappingProxyType(found)
