"""Which requests a rule of the operator reaches that forbids something.

A grant must cover all of a request. A rule that forbids must not be got around, so it reaches whatever it has anything in
common with, and in doubt a little more:

* `network`: hosts and ports that meet, also behind an IPv6 address that carries an IPv4 one. Who may not look up a name may
  not connect to it; who may not connect to any port of it, which is what a rule without ports says, may not look it up.
* `filesystem`: the path and all below it, in upper and lower case alike, because a file system may not tell them apart. To
  write a directory above it is to rename or remove it, and what is forbidden would leave the rule's reach with it: so that is
  refused, whatever the rule forbids. To read a directory above it shows its name, and is allowed.
* `clock`, `random`, `gpu`: the level and all above it, since each includes those below.
* `bus`: patterns that have a subject in common. To listen to `**` is to listen to what is forbidden, too.
* all others: what they have in common with the rule. Of an app's own, what covers the rule, or is covered by it.
"""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from desk.capabilities.addresses import IPAddress, carried, unmapped
from desk.capabilities.atoms import Atom
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.hosts import Addresses, Host
from desk.capabilities.level_atoms import LevelAtom
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.ports import ALL_PORTS
from desk.capabilities.state_atoms import StateAtom
from desk.capabilities.syntax import PermissionSyntaxError

_LOOK_UP = ("connect", "udp")  # what begins with looking up the name


def reaches(rule: Atom, wanted: Atom) -> bool:
    """Say whether who is forbidden `rule` is forbidden the request `wanted`, in part or in whole."""
    if rule.section != wanted.section:
        return False
    # Not isinstance, which asks an abstract class and takes longer than all else here: a request is held against each rule.
    if type(rule) is NetworkAtom and type(wanted) is NetworkAtom:
        return _verbs_meet(rule, wanted) and _hosts_meet(rule.host, wanted.host)
    if type(rule) is FilesystemAtom and type(wanted) is FilesystemAtom:
        return _files_meet(rule, wanted)
    if isinstance(rule, LevelAtom):
        return wanted.covers(rule)
    return rule.meet(wanted) is not None


def check_rule(rule: Atom) -> None:
    """Raise `PermissionSyntaxError` for a rule that could not forbid anything: it must not look as if it did."""
    if not rule.parts() or (isinstance(rule, StateAtom) and rule.own):
        error = PermissionSyntaxError("this takes no permission, so a rule cannot forbid it", "what can be granted")
        error.section, error.text = rule.section, rule.text
        raise error


def at_address(atom: NetworkAtom, address: IPAddress) -> NetworkAtom:
    """What the request `atom` comes to when its name stands for `address`: to be held against the rules once more."""
    address = unmapped(address)
    whole = IPv6Network(int(address)) if isinstance(address, IPv6Address) else IPv4Network(int(address))
    return replace(atom, host=Addresses(whole))


def _files_meet(rule: FilesystemAtom, wanted: FilesystemAtom) -> bool:
    forbidden, path = rule.path.casefold(), wanted.path.casefold()
    if path == forbidden or path.startswith(f"{forbidden}/"):
        return not rule.verbs.isdisjoint(wanted.verbs)
    return "write" in wanted.verbs and forbidden.startswith(f"{path}/")


def _verbs_meet(rule: NetworkAtom, wanted: NetworkAtom) -> bool:
    """Whether the two speak of the same doing, and of the same ports if it has any."""
    if rule.verb == wanted.verb:
        return not rule.ports or rule.ports.bits & wanted.ports.bits != 0
    if wanted.verb == "resolve":
        return rule.verb in _LOOK_UP and rule.ports == ALL_PORTS
    return rule.verb == "resolve" and wanted.verb in _LOOK_UP


def _hosts_meet(rule: Host, wanted: Host) -> bool:
    """Of two sets of hosts that meet, one covers the other: names are a tree, and so are blocks of addresses."""
    if rule.covers(wanted) or wanted.covers(rule):
        return True
    if (
        not isinstance(rule, Addresses)
        or not isinstance(wanted, Addresses)
        or not isinstance(rule.network, IPv4Network)
    ):
        return False
    address = wanted.address
    return isinstance(address, IPv6Address) and any(inner in rule.network for inner in carried(address))
