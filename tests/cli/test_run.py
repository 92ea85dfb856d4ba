"""`desk run DIR`, as whoever operates it meets it: what it loads, what it tells, how it is stopped, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
import pytest
from extensions import ECHO, relay
from toolbox import extension

from desk.capabilities.syntax import PermissionSyntaxError
from desk.cli.grant import Grant
from desk.cli.main import main
from desk.cli.run import modules, stop_when_told

PATIENCE = 60.0
"""Seconds until a command that should have said or done something counts as hanging: generous, the machine may be busy."""

ASKING = extension(
    """(name: "asking", api_version: "0.1", exports: {"on_tick": (params: [])}, timers: {"on_tick": "every 100ms"},
        permissions: {bus: ["publish:news.*"]})""",
    r"""
    (func (export "on_tick")
      (call $log (i32.const 2) (i32.const 0) (i32.const 12))
      (drop (call $publish (i32.const 16) (i32.const 10) (i32.const 32) (i32.const 1))))
    (data (i32.const 0) "tick\1b[31m\e2\80\ae")
    (data (i32.const 16) "news.flash")
    (data (i32.const 32) "\01")
    """,
)
"""Every 100 ms it logs what a terminal might obey, and publishes what it may not have been granted."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for extensions."""
    folder = tmp_path / "extensions"
    folder.mkdir()
    return folder


@contextmanager
def running(folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> Generator["subprocess.Popen[str]"]:
    """The command in a process of its own; killed at the end if it is still there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"XDG_CACHE_HOME": str(folder.parent / "cache"), "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "desk.cli.main", "run", str(folder), *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """What it printed up to the first line with `words` in it."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    pytest.fail(f"it ended without {words!r}:\n{''.join(lines)}\n{process.communicate()[1]}")


def stopped(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> tuple[int, str]:
    """Its exit code and the rest of its output, after a signal. It must have said nothing on stderr."""
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert err == ""
    return process.returncode, out


# -- a folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_hosts_a_folder_until_it_is_told_to_stop(folder: Path, number: int) -> None:
    """Modules in the folder and right below it run, with what they have and may; Ctrl-C and SIGTERM both end it well."""
    (folder / "echo.wasm").write_bytes(ECHO)
    (folder / "fetching").mkdir()
    (folder / "fetching" / "any.wasm").write_bytes(relay("fetching", 'network: ["api.example.com", "b.example.com"]'))
    with running(folder, "--grant", "network:api.example.com") as process:
        shown = "".join(lines_until(process, "running"))
        status, rest = stopped(process, number)
    assert status == 0
    assert re.search(r"loaded  echo \(no version\) in [\d,]+ ms\n +exports  echo, add, count", shown)
    assert "    granted  network connect:api.example.com:443\nnot granted  network connect:b.example.com:443\n" in shown
    assert "2 extensions running; Ctrl-C stops them" in shown
    assert re.search(r"stopped after [\d.]+ s: 0 requests allowed, 0 denied\n  echo: 0 messages handled", rest)


def test_what_is_refused_is_told_and_the_others_run(folder: Path) -> None:
    """A module that is none has its reasons in the output; the exit code says at the end that not all was well."""
    (folder / "bad.wasm").write_bytes(b"MZ-this-is-no-wasm")
    (folder / "echo.wasm").write_bytes(ECHO)
    (folder / "twin.wasm").write_bytes(ECHO)
    with running(folder) as process:
        shown = "".join(lines_until(process, "running"))
        status, rest = stopped(process)
    assert status == 1
    assert "refused  bad.wasm: not wasm: 18 bytes" in shown
    assert "refused  twin.wasm: an extension 'echo' is loaded already" in shown
    assert "1 extension running; Ctrl-C stops it" in shown
    assert "echo: 0 messages handled" in rest


def test_if_all_is_refused_there_is_nothing_to_wait_for(folder: Path) -> None:
    """The command ends by itself, with exit code 1."""
    (folder / "bad.wasm").write_bytes(b"")
    with running(folder) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (1, "")
    assert out.strip() == "refused  bad.wasm: not wasm: 0 bytes, beginning with ``; expected 00 61 73 6d"


def test_the_modules_of_a_folder(folder: Path) -> None:
    """In order: its own, then those of the folders right below; nothing deeper, hidden, or of another name."""
    for name in ("b.wasm", "a.wasm", "note.txt", ".old.wasm", "x/c.wasm", "x/y/d.wasm", ".git/e.wasm"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert [str(each.relative_to(folder)) for each in modules(folder)] == ["a.wasm", "b.wasm", "x/c.wasm"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "No such file or directory"), ("file", "Not a directory"), ("empty", "there is no *.wasm in")],
)
def test_a_folder_with_nothing_to_host_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    """Missing, no folder, or without a module: one line on stderr, exit code 2."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert main(["run", str(tmp_path / name)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("desk: ")
    assert said in shown.err


# -- grants


@pytest.mark.parametrize(
    ("text", "extension", "permission"),
    [
        ("network:api.weather.com:80", None, "network connect:api.weather.com:80"),
        ("widget=network:api.weather.com", "widget", "network connect:api.weather.com:443"),
        ("filesystem:read:/srv/a=b", None, "filesystem read:/srv/a=b"),
        ("widget=filesystem:read:/srv/a=b", "widget", "filesystem read:/srv/a=b"),
        ("bus:publish:weather.*", None, "bus publish:weather.*"),
    ],
)
def test_a_grant_is_a_permission_and_whose_it_is(text: str, extension: str | None, permission: str) -> None:
    """Before the first `=` stands a name, unless a colon does: then the sign is the permission's own."""
    grant = Grant.parse(text)
    assert (grant.extension, str(grant.atom)) == (extension, permission)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("network", "expected [NAME=]SECTION:TEXT, as in network:api.weather.com:80"),
        ("netwrok:api.weather.com", 'did you mean "network"?'),
        ("network:api..com", "network"),
        ("a=b", "expected [NAME=]SECTION:TEXT"),
        ("network:", "1 to 512 characters"),
        ("filesystem:read:/a\u202eb", "text-direction character"),
        ("\u202e", "expected [NAME=]SECTION:TEXT"),
        ("", "expected [NAME=]SECTION:TEXT"),
    ],
)
def test_a_grant_that_is_none_is_told_before_anything_is_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, hint: str
) -> None:
    """With what was expected, on stderr, in printable characters; exit code 2."""
    (folder / "echo.wasm").write_bytes(ECHO)
    with pytest.raises(PermissionSyntaxError):
        Grant.parse(text)
    assert main(["run", str(folder), "--grant", text]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert hint in shown.err
    assert shown.err.strip().isprintable()


def test_what_is_denied_while_a_module_starts_is_told(folder: Path) -> None:
    """A guest may ask before it is reachable; only what it may not listen to stands in its notices, and is told once."""
    guest = extension(
        """(name: "early", api_version: "0.1", exports: {"f": (params: [any])}, subscribes: {"news": "f"})""",
        """(data (i32.const 0) "cap.env.get\\a1dnamedHOME")
        (func (export "f") (param i32 i32))
        (func (export "desk_start") (drop (call $request (i32.const 0) (i32.const 11) (i32.const 11) (i32.const 11))))""",
    )
    (folder / "early.wasm").write_bytes(guest)
    with running(folder, "--json") as process:
        told = [json.loads(line) for line in lines_until(process, '"running"')]
        stopped(process)
    (loaded,) = [each for each in told if each["event"] == "loaded"]
    assert [notice.partition(":")[0] for notice in loaded["notices"]] == ["does not listen to news"]
    (denial,) = [each for each in told if each["event"] == "denied"]
    assert (denial["extension"], denial["permission"]) == ("early", "env read:HOME")
    assert not any(each["event"] == "log" for each in told)


def test_a_grant_goes_to_whom_it_names(folder: Path) -> None:
    """One for a name goes to that extension alone; one that nobody asks for is told."""
    for name in ("one", "two"):
        (folder / f"{name}.wasm").write_bytes(relay(name, 'network: ["api.example.com"], filesystem: ["read:/srv"]'))
    arguments = ("--grant", "one=network:api.example.com", "--grant", "network:other.example.com", "--json")
    arguments += ("--grant", "one=filesystem:readwrite:/srv/maps")  # a part of which it asks for
    with running(folder, *arguments) as process:
        told = [json.loads(line) for line in lines_until(process, '"running"')]
        status, _ = stopped(process)
    assert status == 0
    loaded = {each["name"]: each for each in told if each["event"] == "loaded"}
    assert loaded["one"]["granted"] == ["network connect:api.example.com:443"]
    assert (loaded["two"]["granted"], loaded["two"]["notices"]) == ([], [])
    assert [each["text"] for each in told if each["event"] == "note"] == [
        "--grant network connect:other.example.com:443 gives nothing: no extension that runs asks for it"
    ]


def test_a_grant_that_meets_nothing_says_why(folder: Path) -> None:
    """For one extension: what that one asks for there, that it was refused, or that it is not here."""
    (folder / "kit.wasm").write_bytes(relay("kit", 'network: ["pages.example.com:8080"]'))
    (folder / "settings.wasm").write_bytes(SETTINGS)
    grants = ["kit=network:pages.example.com", "kit=env:HOME", "settings=env:HOME", "nobody=env:HOME"]
    config = folder.parent / "config.json"
    config.write_text('{"settings": {"city": "Paris"}, "nobody": {}}')
    arguments = [word for grant in grants for word in ("--grant", grant)]
    with running(folder, *arguments, "--config", str(config), "--json") as process:
        told = [json.loads(line) for line in lines_until(process, '"running"')]
    assert [each["text"] for each in told if each["event"] == "note"] == [
        "--grant kit=network connect:pages.example.com:443 gives nothing: it asks for connect:pages.example.com:8080",
        "--grant kit=env read:HOME gives nothing: it asks for nothing in env",
        "--grant settings=env read:HOME gives nothing: settings was refused",
        "--grant nobody=env read:HOME gives nothing: nobody is not here",
        "--config has settings of nobody, which is not here",
        "--config has settings of settings, which was refused",
    ]


def test_all_that_is_asked_for_can_be_granted(folder: Path) -> None:
    """`--grant-requested` leaves nothing out; it excludes `--grant`."""
    (folder / "one.wasm").write_bytes(relay("one", 'network: ["api.example.com", "b.example.com:1-9"]'))
    with running(folder, "--grant-requested", "--json") as process:
        told = [json.loads(line) for line in lines_until(process, '"running"')]
    (loaded,) = (each for each in told if each["event"] == "loaded")
    assert (len(loaded["granted"]), loaded["not_granted"]) == (2, [])
    with pytest.raises(SystemExit) as done:
        main(["run", str(folder), "--grant-requested", "--grant", "network:api.example.com"])
    assert done.value.code == 2


# -- the operator's rules


def test_a_policy_is_stronger_than_a_grant(folder: Path) -> None:
    """What its file denies stays denied, whatever `--grant` says; what it grants needs no `--grant`."""
    (folder / "asking.wasm").write_bytes(ASKING)
    (folder / "a-one.wasm").write_bytes(relay("one", 'network: ["api.example.com"]'))
    policy = folder.parent / "policy.ron"
    policy.write_text('(deny: {bus: ["publish:**"]}, grants: {"one": {network: ["*:443"]}})')
    with running(folder, "--policy", str(policy), "--grant", "bus:publish:news.*", "--json") as process:
        told = [json.loads(line) for line in lines_until(process, '"denied"')]
        status, _ = stopped(process)
    assert status == 0
    loaded = {each["name"]: each for each in told if each["event"] == "loaded"}
    assert loaded["one"]["granted"] == ["network connect:api.example.com:443"]
    assert "refused by a rule of the operator" in told[-1]["reason"]
    assert told[-1]["missing"] == "rule"
    (note,) = (each["text"] for each in told if each["event"] == "note")
    assert note.startswith("asking: the policy forbids bus publish:news.*, or a part of it: deny bus")


@pytest.mark.parametrize("text", ["(deny: {netwrok: []})", "(", "(deny: {network: [1]})", "\u202e"])
def test_a_policy_that_is_none_is_wrong_usage(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is loaded under rules that cannot be understood: the place in the file, exit code 2."""
    (folder / "echo.wasm").write_bytes(ECHO)
    (folder / "policy.ron").write_text(text, encoding="utf-8")
    assert main(["run", str(folder), "--policy", str(folder / "policy.ron")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "policy.ron, line 1, column" in shown.err
    assert "\u202e" not in shown.err
    assert main(["run", str(folder), "--policy", str(folder / "missing.ron")]) == 2


def test_to_observe_is_to_deny_nothing_and_to_say_so(folder: Path) -> None:
    """What would have been denied is a line, and counted at the end."""
    (folder / "asking.wasm").write_bytes(ASKING)
    with running(folder, "--observe") as process:
        shown = "".join(lines_until(process, "audit: asking observed: bus publish:news.flash"))
        status, rest = stopped(process)
    assert status == 0
    assert "1 extension running; Ctrl-C stops it; OBSERVING all: nothing is denied but what the policy forbids" in shown
    assert re.search(r"s: (\d+) requests? allowed, \1 of them only observed, 0 denied", rest)


def test_json_says_what_is_only_observed_and_of_whom(folder: Path) -> None:
    """A policy may observe some extensions: they are named, and what they would have been denied is an event of its own."""
    (folder / "asking.wasm").write_bytes(ASKING)
    policy = folder.parent / "policy.ron"
    policy.write_text('(observe: ["asking", "another"])')
    with running(folder, "--policy", str(policy), "--json") as process:
        told = [json.loads(line) for line in lines_until(process, '"observed", "time"')]
    assert [each["observe"] for each in told if each["event"] == "running"] == [["another", "asking"]]
    assert (told[-1]["extension"], told[-1]["permission"]) == ("asking", "bus publish:news.flash")


def test_decisions_are_written_down(folder: Path) -> None:
    """`--audit FILE` has a line for each, which `desk audit` reads."""
    (folder / "asking.wasm").write_bytes(ASKING)
    audit = folder.parent / "audit.jsonl"
    with running(folder, "--audit", str(audit), "--grant", "asking=bus:publish:news.flash") as process:
        lines_until(process, "tick")
        lines_until(process, "tick")
        status, rest = stopped(process)
    assert status == 0
    allowed = re.search(r"s: (\d+) requests? allowed, 0 denied", rest)
    assert allowed is not None
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert len(lines) == int(allowed[1]) >= 1


def test_a_person_is_asked_if_there_is_one(folder: Path) -> None:
    """`--ask` puts the question on the terminal and takes the answer from there; without a terminal it is wrong usage."""
    (folder / "asking.wasm").write_bytes(ASKING)
    ours, theirs = os.openpty()
    try:
        with running(folder, "--ask", stdin=theirs) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "asking asks for bus publish:news.flash\n"
            assert "Allow it?" in process.stderr.readline()
            os.write(ours, b"n\n")
            lines_until(process, "DENIED")
            assert stopped(process)[0] == 0
    finally:
        os.close(ours)
        os.close(theirs)
    with running(folder, "--ask") as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (2, "", "desk: --ask needs a terminal on standard input\n")


# -- what is told


def test_denials_and_log_lines_are_told_as_they_come(folder: Path) -> None:
    """Each with time, level and whose it is; what a terminal would obey is spelled out."""
    (folder / "asking.wasm").write_bytes(ASKING)
    with running(folder) as process:
        lines = lines_until(process, "DENIED")
        status, rest = stopped(process)
    shown = "".join(lines)
    assert status == 0
    assert re.search(r"^\d\d:\d\d:\d\d info    asking: tick\\x1b\[31m", shown, re.M)
    assert re.search(r"^\d\d:\d\d:\d\d warning audit: asking DENIED: bus publish:news\.flash", shown, re.M)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not re.search(r"s: 0 requests allowed, 0 denied", rest)


def test_json_has_the_same_facts_one_object_a_line(folder: Path) -> None:
    """Every line is an object with an event and a time; the last one is the summary."""
    (folder / "asking.wasm").write_bytes(ASKING)
    (folder / "bad.wasm").write_bytes(b"")
    with running(folder, "--json") as process:
        lines = lines_until(process, '"denied"')
        status, rest = stopped(process)
    told = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert status == 1
    assert all(each["time"] > 0 for each in told)
    events = [each["event"] for each in told]
    assert [each for each in events if each not in ("log", "denied")] == [
        "loading",
        "loaded",
        "refused",
        "running",
        "stopping",
        "stopped",
    ]
    loggers = {each["logger"] for each in told if each["event"] == "log"}
    assert "desk.ext.asking" in loggers
    assert "desk.audit" not in loggers
    denied = next(each for each in told if each["event"] == "denied")
    assert "not granted" in denied.pop("reason")
    assert denied == {
        "event": "denied",
        "time": denied["time"],
        "extension": "asking",
        "permission": "bus publish:news.flash",
        "missing": "grant",
    }
    assert told[-1]["denied"] > 0
    assert told[-1]["extensions"]["asking"]["handled"] > 0


def test_what_a_load_warns_of_is_told_once(folder: Path) -> None:
    """A subscription without a grant is a note of the extension, not also a line of the log."""
    listening = relay("listening", more='subscribes: {"weather.observed": "on_event"}')
    (folder / "listening.wasm").write_bytes(listening)
    with running(folder) as process:
        shown = "".join(lines_until(process, "running"))
        status, _ = stopped(process)
    assert status == 0
    assert shown.count("does not listen to weather.observed") == 1
    assert "warning" not in shown


def test_it_stops_when_nobody_reads_any_more(folder: Path) -> None:
    """As `desk run DIR | head -1`: a reader that goes away ends it without a complaint."""
    (folder / "asking.wasm").write_bytes(ASKING)
    with running(folder) as process:
        lines_until(process, "running")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


@pytest.mark.anyio
async def test_the_second_signal_does_not_wait() -> None:
    """The first one ends the work, the second one everything."""

    async def two() -> AsyncGenerator[signal.Signals]:
        for number in (signal.SIGINT, signal.SIGTERM):
            told.append(scope.cancel_called)
            yield number

    told: list[bool] = []
    scope = anyio.CancelScope()
    async with aclosing(two()) as signals:
        with pytest.raises(KeyboardInterrupt):
            await stop_when_told(signals, scope)
    assert told == [False, True]


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Its options, how it is stopped, and every exit code."""
    with pytest.raises(SystemExit) as done:
        main(["run", "--help"])
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in (
        "--grant [NAME=]SECTION:TEXT",
        "--grant-requested",
        "Ctrl-C",
        "SIGTERM",
        "0 all",
        "1 one",
        "2 wrong",
        "130",
    ):
        assert word in shown


# -- settings

SETTINGS = extension(
    """(name: "settings", api_version: "0.1", exports: {"on_tick": (params: [])}, timers: {"on_tick": "every 100ms"},
        config: {"city": (type: string), "key": (type: string, secret: true)})""",
    """
    (func (export "on_tick") (local $pair i64)
      (local.set $pair (call $context))
      (drop (call $read (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))) (i32.const 0) (i32.const 0) (i32.const 1024)))
      (call $log (i32.const 2) (i32.const 0) (i32.wrap_i64 (local.get $pair))))
    """,
)
"""Every 100 ms it logs what it is told about the call, its settings among it."""


def test_settings_come_from_a_file(folder: Path) -> None:
    """`--config FILE` has the settings of each extension; a secret one is not among what a message tells it."""
    (folder / "settings.wasm").write_bytes(SETTINGS)
    config = folder.parent / "config.json"
    config.write_text('{"settings": {"city": "Paris", "key": "a secret key"}, "other": {}}')
    with running(folder, "--config", str(config)) as process:
        said = "".join(lines_until(process, "Paris"))
        assert "a secret key" not in said
        assert "--config has settings of other, which is not here" in said
        assert stopped(process)[0] == 0


def test_a_setting_that_is_missing_is_told(folder: Path) -> None:
    """An extension without a setting that it needs is refused: whose it is, and how to give it; it was the only one."""
    (folder / "settings.wasm").write_bytes(SETTINGS)
    with running(folder) as process:
        shown = lines_until(process, "config.city")[-1]
        assert process.wait(PATIENCE) == 1
    assert "settings: config.city: expected string; it has no default, got nothing; " in shown
    assert 'give --config FILE with {"settings": {"city": ...}}' in shown


def test_a_setting_that_nobody_asks_for_is_told(folder: Path) -> None:
    """Its name and those that there are; nothing of its value."""
    (folder / "settings.wasm").write_bytes(SETTINGS)
    config = folder.parent / "config.json"
    config.write_text('{"settings": {"city": "Paris", "kee": "a secret key"}}')
    with running(folder, "--config", str(config)) as process:
        shown = lines_until(process, "config.kee")[-1]
        assert process.wait(PATIENCE) == 1
    assert "settings: config.kee: expected one of city, key, got an unknown setting" in shown
    assert "a secret key" not in shown


@pytest.mark.parametrize("text", ["{", '["a secret"]', '{"settings": "a secret"}', "[" * 100_000])
def test_settings_that_are_none_are_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A file that is not what it should be is refused before anything is loaded; nothing of it is shown."""
    (folder / "settings.wasm").write_bytes(SETTINGS)
    config = folder.parent / "config.json"
    config.write_text(text)
    assert main(["run", str(folder), "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert "expected JSON like" in said
    assert "secret" not in said
