"""What is granted for always: kept on disk by permission, for as long as the manifest asks for it."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet
from desk.capabilities.policy_file import PolicyError
from desk.capabilities.remembered import MOST, Remembered

ASKED = PermissionSet.parse({"network": ["*:443", "*:80"], "filesystem": ["readwrite:/srv"], "clock": "wall"})
API = PermissionSet.parse({"network": ["api.example.com"]})


def test_what_is_added_is_there_after_a_restart(tmp_path: Path) -> None:
    """In a file that only its owner reads, which reads like a manifest."""
    path = tmp_path / "data" / "grants.ron"
    remembered = Remembered(path)
    assert remembered.granted("widget", ASKED) == PermissionSet()
    remembered.add("widget", API)
    remembered.add("widget", PermissionSet.parse({"clock": "wall"}))
    assert path.read_text() == (
        'Remembered(grants: {"widget": {"network": ["connect:api.example.com:443"], "clock": ["wall"]}})\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Remembered(path)
    assert [str(atom) for atom in again.granted("widget", ASKED)] == [
        "network connect:api.example.com:443",
        "clock wall",
    ]
    assert again.granted("other", ASKED) == PermissionSet()
    assert repr(again) == "<Remembered: 2 permissions of 1 extensions>"
    assert os.listdir(path.parent) == ["grants.ron"]


def test_it_counts_as_far_as_the_manifest_asks_for_it(tmp_path: Path) -> None:
    """An update that does not ask for it has it no more; one that asks again has it again."""
    remembered = Remembered(tmp_path / "grants.ron")
    remembered.add("widget", API)
    assert remembered.granted("widget", PermissionSet.parse({"network": ["other.example.com"]})) == PermissionSet()
    assert remembered.granted("widget", PermissionSet.parse({"network": ["*:443"]})) == API


def test_what_is_forgotten_is_gone_from_disk(tmp_path: Path) -> None:
    """What permits more is narrowed if the rest can be said, and else goes as a whole: never more is left than asked."""
    path = tmp_path / "grants.ron"
    remembered = Remembered(path)
    kept = {"network": ["api.example.com:80,443", "10.0.0.0/8:80"], "filesystem": ["readwrite:/srv", "read:/home"]}
    remembered.add("widget", PermissionSet.parse(kept))
    gone = {"network": ["api.example.com:443", "10.1.0.0/16:80"], "filesystem": ["write:/srv", "read:/home/secret"]}
    remembered.forget("widget", PermissionSet.parse(gone))
    everything = PermissionSet.parse(
        {"network": ["*:*", "0.0.0.0/0:*"], "filesystem": ["readwrite:/srv", "readwrite:/home"]}
    )
    left = [str(atom) for atom in Remembered(path).granted("widget", everything)]
    assert left == ["network connect:api.example.com:80", "filesystem read:/srv"]
    remembered.narrow("widget", PermissionSet.parse({"filesystem": ["read:/srv"]}))
    assert [str(atom) for atom in Remembered(path).granted("widget", everything)] == ["filesystem read:/srv"]
    remembered.forget("widget")
    assert "widget" not in Remembered(path)
    remembered.forget("never-heard-of")


_TEXTS = st.sampled_from(["a.example:80", "a.example:443", "a.example:80,443", "*:*", "10.0.0.0/8:1", "10.1.0.0/16:1"])
_SETS = st.lists(_TEXTS, max_size=5).map(lambda texts: PermissionSet.parse({"network": texts}))


@given(_SETS, _SETS)
def test_nothing_is_left_of_what_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, kept: PermissionSet, gone: PermissionSet
) -> None:
    """Nor does anything become more by it."""
    path = tmp_path_factory.mktemp("data") / "grants.ron"
    remembered = Remembered(path)
    remembered.add("widget", kept)
    remembered.forget("widget", gone)
    left = Remembered(path).granted("widget", kept)
    assert all(each.meet(atom) is None for each in gone for atom in left)
    assert left.asks_more(kept) == ()


def test_no_more_is_kept_than_can_be_read_again(tmp_path: Path) -> None:
    """Of one extension the newest; the oldest is asked about again."""
    path = tmp_path / "grants.ron"
    remembered = Remembered(path)
    for port in range(1, MOST + 3):
        remembered.add("widget", [NetworkAtom.connect("a.example", port)])
    left = Remembered(path).granted("widget", PermissionSet.parse({"network": ["*:*"]}))
    assert len(left.atoms) == MOST
    assert left.covers(NetworkAtom.connect("a.example", MOST + 2))
    assert not left.covers(NetworkAtom.connect("a.example", 1))


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """Neither the file nor what is known, and no half of a file is left beside it."""
    path = tmp_path / "grants.ron"
    remembered = Remembered(path)
    remembered.add("widget", API)
    for number in range(999):
        remembered._kept = {**remembered._kept, f"widget-{number}": remembered._kept["widget"]}  # pyright: ignore[reportPrivateUsage]
    before = path.read_bytes()
    with pytest.raises(OSError, match="more to remember"):
        remembered.add("one-too-many", API)
    assert "one-too-many" not in remembered
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["grants.ron"]


def test_what_the_app_does_not_know_any_more_grants_nothing(tmp_path: Path) -> None:
    """A capability that is gone, or a text that was changed by hand: the rest counts, and the host starts."""
    path = tmp_path / "grants.ron"
    path.write_text('Remembered(grants: {"widget": {notes: ["diary"], network: ["api.example.com", "http://x"]}})')
    assert Remembered(path).granted("widget", ASKED) == API


def test_a_pipe_in_its_place_is_an_error(tmp_path: Path) -> None:
    """At once: a host that is opened does not wait for somebody to write to it."""
    os.mkfifo(tmp_path / "grants.ron")
    with pytest.raises(OSError, match="not a regular file"):
        Remembered(tmp_path / "grants.ron")


def test_a_section_is_forgotten_as_a_whole(tmp_path: Path) -> None:
    """Also what of it cannot be read any more; the other sections stay, and so do other extensions."""
    path = tmp_path / "grants.ron"
    path.write_text(
        '(grants: {"widget": {network: ["a.example", "http://x"], clock: ["wall"]}, "other": {network: ["*"]}})'
    )
    Remembered(path).forget("widget", section="network")
    assert path.read_text() == ('Remembered(grants: {"widget": {"clock": ["wall"]}, "other": {"network": ["*"]}})\n')


@pytest.mark.parametrize(
    "text", ["", "Remembered(", "Remembered(grants: [])", "Policy()", 'Remembered(grants: {"../x": {}})']
)
def test_a_file_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    """With its place; nobody's grants are thrown away because of a slip of the hand."""
    path = tmp_path / "grants.ron"
    path.write_text(text)
    with pytest.raises(PolicyError, match=r"grants\.ron, line 1"):
        Remembered(path)
