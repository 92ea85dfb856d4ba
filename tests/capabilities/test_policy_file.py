"""The policy as a file: read as a manifest is, every mistake with its place, and nothing that is misspelt looks as if it held."""

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolbox import ROOT

from desk.capabilities.capability import Capability
from desk.capabilities.network_atoms import NetworkAtom
from desk.capabilities.permissions import PermissionSet, parse_atom
from desk.capabilities.policy import Policy
from desk.capabilities.policy_file import LIMITS, PolicyError
from desk.capabilities.prompting import COOL_DOWN, OF_ONE, REFUSALS, WAITING
from desk.capabilities.reach import reaches

WHOLE = """\
// what this machine allows
Policy(
    deny: {network: ["10.0.0.0/8:*"], clock: "wall"},
    ceiling: {network: ["*:443", "*:80"], clock: "wall:coarse"},
    grants: {
        "weather-widget": {network: ["api.weather.com"]},
        "geocoder": "requested",
    },
    observe: ["new-widget"],
)
"""


def written(directory: Path, text: str | bytes) -> Path:
    """A policy file with that text."""
    path = directory / "policy.ron"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_says_what_a_policy_does(tmp_path: Path) -> None:
    """Each of its fields is the argument of the same name."""
    policy = Policy.read(written(tmp_path, WHOLE))
    assert policy.deny == PermissionSet.parse({"network": ["10.0.0.0/8:*"], "clock": "wall"})
    assert policy.ceiling == PermissionSet.parse({"network": ["*:443", "*:80"], "clock": "wall:coarse"})
    assert policy.grants == {
        "weather-widget": PermissionSet.parse({"network": ["api.weather.com"]}),
        "geocoder": "requested",
    }
    assert policy.observe == {"new-widget"}
    assert policy.rules("widget").forbids(NetworkAtom.connect("10.0.0.1", 443)) == "deny network connect:10.0.0.0/8:*"


@pytest.mark.parametrize("text", ["Policy()", "()", "Policy(observe: false)", "(deny: {})"])
def test_every_field_may_be_left_out(tmp_path: Path, text: str) -> None:
    """So may the name in front; what is left out forbids nothing and gives nothing."""
    policy = Policy.read(written(tmp_path, text))
    assert (policy.deny, policy.ceiling, dict(policy.grants), policy.observe) == (PermissionSet(), None, {}, False)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("Policy(denny: {})", 1, 8, "unknown field `denny`; did you mean `deny`?"),
        ("Polizei(deny: {})", 1, 1, "expected Policy(deny, ceiling, grants, observe)"),
        ("Policy(1)", 1, 1, "expected Policy(deny, ceiling, grants, observe)"),
        ("[]", 1, 1, "expected Policy(deny, ceiling, grants, observe), found a list"),
        ("Policy(deny: [])", 1, 14, "expected permissions by section"),
        (
            'Policy(\n  deny: {netwrok: ["x"]},\n)',
            2,
            10,
            "unknown permission section `netwrok`; did you mean `network`?",
        ),
        (
            'Policy(\n  deny: {\n    network: ["a.example", "http://b.example"],\n  },\n)',
            3,
            28,
            "a URL is no permission",
        ),
        ('Policy(deny: {network: "a.example"})', 1, 24, "expected a list of strings"),
        ("Policy(deny: {network: [7]})", 1, 25, "expected a permission as a string, found an integer"),
        ('Policy(deny: {clock: "wal"})', 1, 22, "did you mean `wall`?"),
        ('Policy(deny: {clock: "none"})', 1, 22, "takes no permission"),
        ('Policy(deny: {state: ["read:own/x"]})', 1, 23, "takes no permission"),
        ('Policy(deny: {"bus": [], bus: []})', 1, 26, "`bus` stands here twice"),
        ("Policy(deny: {1: []})", 1, 15, "expected a name or a string as key"),
        ('Policy(grants: {"Widget": {}})', 1, 17, "expected the name of an extension"),
        ('Policy(grants: {"widget": "all"})', 1, 27, 'or "requested", found `all`'),
        ('Policy(observe: "widget")', 1, 17, "expected true, false or a list of names of extensions, found a string"),
        ('Policy(observe: ["widget", "../x"])', 1, 28, "expected the name of an extension"),
        ("Policy(deny: {}", 1, 16, "expected"),
        ("Policy(deny: {}, deny: {})", 1, 18, "deny"),
    ],
)
def test_a_mistake_is_shown_with_its_place(tmp_path: Path, text: str, line: int, column: int, problem: str) -> None:
    """Line, column, what is wrong and what was expected, and the line itself with a caret."""
    path = written(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        Policy.read(path)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert problem in error.problem
    assert str(error).startswith(f"{path}, line {line}, column {column}: ")
    assert error.excerpt.splitlines()[1].endswith("^")
    assert error.doing == "operator"


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"(" * 100_000,
        b"{" * 20,
        b" " * (LIMITS.size + 1),
        b"Policy(observe: [" + b'"x",' * 1_001 + b"])",
        b"Policy(deny: {network: [" + b'"a.example",' * 129 + b"]})",
    ],
    ids=["no text", "unclosed", "deep", "large", "many names", "many rules"],
)
def test_a_file_is_read_within_bounds(tmp_path: Path, text: bytes) -> None:
    """Whatever it is, the answer is an error with a place."""
    with pytest.raises(PolicyError):
        Policy.read(written(tmp_path, text))


@given(st.text(alphabet='Policydenygrants(){}[]:,"*./0 \n', max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """With an error of ours, and no other."""
    path = written(tmp_path_factory.getbasetemp(), f"Policy({text})")
    with suppress(PolicyError):
        Policy.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is no empty policy: whoever names a file means it."""
    with pytest.raises(FileNotFoundError):
        Policy.read(tmp_path / "none.ron")


def test_to_forbid_a_host_is_to_forbid_every_port_of_it(tmp_path: Path) -> None:
    """As in Python; a ceiling and a grant are for 443."""
    said = '{network: ["a.example"]}'
    policy = Policy.read(written(tmp_path, f'Policy(deny: {said}, ceiling: {said}, grants: {{"widget": {said}}})'))
    assert [str(rule) for rule in policy.deny] == ["network connect:a.example:*"]
    assert policy.ceiling == policy.grants["widget"] == PermissionSet((NetworkAtom.connect("a.example", 443),))


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device that never ends: an error at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            Policy.read(path)
    with pytest.raises(IsADirectoryError):
        Policy.read(tmp_path)


def test_an_app_names_its_own_permissions(tmp_path: Path) -> None:
    """With the capabilities that its host has."""

    class Notes(Capability):
        name = "notes"

    path = written(tmp_path, 'Policy(deny: {notes: ["diary"]})')
    with pytest.raises(PolicyError, match="unknown permission section `notes`"):
        Policy.read(path)
    assert [str(rule) for rule in Policy.read(path, capabilities=[Notes()]).deny] == ["notes diary"]


PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")


def test_the_page_has_a_policy_that_can_be_read(tmp_path: Path) -> None:
    """The example of docs/policy.md, as it stands there."""
    (example,) = re.findall(r"^```ron\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    policy = Policy.read(written(tmp_path, example))
    assert policy.ceiling is not None
    assert set(policy.grants) == {"weather-widget", "geocoder"}
    (everything,) = re.findall(r"^  `(network: .*)`\.$", PAGE, re.MULTILINE)
    rules = Policy.read(written(tmp_path, f"Policy(deny: {{{everything}}})")).rules("widget")
    assert all(rules.denies(NetworkAtom.connect(host, 443)) for host in ("a.example", "192.0.2.1", "2001:db8::1"))


def test_the_page_is_right_about_what_a_rule_reaches() -> None:
    """Each row of its table, against the code."""
    rows = re.findall(r"^\| `(\w+) (\S+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 9
    for section, text, refused, allowed in rows:
        rule = parse_atom(section, text)
        for cell, expected in ((refused, True), (allowed, False)):
            for wanted in re.findall(r"`([^`]+)`", cell):
                assert reaches(rule, parse_atom(section, wanted)) is expected, (text, wanted)


def test_the_page_has_the_numbers() -> None:
    """Of the table on asking."""
    said = re.search(r"\| (\d+), of one extension (\d+);.*?for (\d+) s;.*?after (\d+) noes", PAGE, re.DOTALL)
    assert said is not None
    assert tuple(map(int, said.groups())) == (WAITING, OF_ONE, COOL_DOWN, REFUSALS)
