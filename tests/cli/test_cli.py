"""The `desk` command, as a person or a script meets it: what it prints, where, and the exit code."""

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
import wasmtime
from extensions import ECHO
from toolbox import extension

from desk.actors import abi
from desk.actors.manifest import parse_manifest
from desk.actors.wasm import with_custom_section
from desk.bus.ron.text import printable
from desk.cli.demo import FORECAST, Observation, Results, read_observations, statistics
from desk.cli.main import main
from desk.cli.terminal import Terminal
from desk.traces.configure import configure_from_environment

ROOT = Path(__file__).parents[2]
WIDGET = ROOT / "examples" / "weather-widget" / "weather-widget.wasm"
MANIFEST = '(name: "tiny", api_version: "0.1", exports: {"f": (params: [])})'

OTHERS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONIOENCODING")
"""Variables that change what a command prints, beside those of OpenTelemetry."""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of whoever runs the tests decides: colour, traces, width, buffering, encoding."""
    for name in [*os.environ]:
        if name.startswith("OTEL_") or name in OTHERS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def desk(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 60, "check": False, **options}
    return subprocess.run([sys.executable, "-m", "desk.cli.main", *arguments], **settings)  # type: ignore[call-overload]


def write(folder: Path, wasm: bytes, manifest: str | None = None) -> str:
    """A module in a file, with the manifest beside it if one is given."""
    file = folder / "tiny.wasm"
    file.write_bytes(wasm)
    if manifest is not None:
        (folder / "manifest.ron").write_text(manifest, encoding="utf-8")
    return str(file)


def module(text: str, manifest: str | None = None) -> bytes:
    """A module from its text, with nothing but what stands there."""
    wasm = bytes(wasmtime.wat2wasm(f"(module {text})"))
    return wasm if manifest is None else with_custom_section(wasm, "desk:manifest", manifest.encode())


# -- help and usage


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """`desk --help` names every command with what it does, and where to begin; exit code 0."""
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "Start with `desk demo`" in shown
    for command, what in (("demo", "run a real extension"), ("ext", "work on extensions")):
        assert any(line.split()[:1] == [command] and what in line for line in shown.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--help"], ["--card FILE", "--json", "weather-widget"]),
        (["ext", "--help"], ["inspect", "whether it may run"]),
        (["ext", "inspect", "--help"], ["--manifest FILE", "--json", "Exit code: 0 it may run, 1 it is refused"]),
    ],
)
def test_every_command_explains_itself(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its options, what it is for, and where they matter its exit codes."""
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(word in shown for word in words)


@pytest.mark.parametrize(("arguments", "named"), [([], "demo"), (["ext"], "inspect")])
def test_without_a_command_there_is_help(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare `desk` or `desk ext` shows its commands; exit code 2, since nothing was done."""
    assert main(arguments) == 2
    assert named in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["dance"], ["ext", "dance"], ["ext", "inspect"], ["demo", "--loud"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command or option, or a missing file name, is told on stderr with the usage."""
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: desk")


def test_help_starts_no_engine() -> None:
    """`desk --help` imports neither wasmtime nor OpenTelemetry: it is there at once."""
    code = (
        "import sys\nfrom desk.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('wasmtime', 'opentelemetry', 'anyio', 'trio', 'cbor2', 'h11')\n"
        "print([m for m in sys.modules if m.partition('.')[0] in heavy], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_the_version_is_that_of_the_package_and_the_abi(capsys: pytest.CaptureFixture[str]) -> None:
    """`desk --version` prints one line with both, and does nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"desk {version('desk-ext')}, guest ABI {abi.VERSION}\n"


def test_a_wrong_variable_of_tracing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that traces as `OTEL_*` variables say and cannot is a failure with the reason, not a traceback."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")

    def traced(*_: object, **__: object) -> int:  # no command reads these variables yet
        configure_from_environment()
        return 0

    monkeypatch.setattr("desk.cli.inspect.run", traced)
    assert main(["ext", "inspect", str(WIDGET)]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("desk: OTEL_TRACES_EXPORTER names 'zipkin'")
    assert shown.count("\n") == 1


# -- desk ext inspect


def test_an_extension_that_may_run_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; shown are name, version, exports, what it listens to and asks for, its imports, and the verdict."""
    assert main(["ext", "inspect", str(WIDGET)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = [line.strip() for line in shown.out.splitlines()]
    assert lines[0].startswith("weather-widget 1.0.0")
    assert lines[-1] == "accepted: a host would run it"
    for part in (
        "render(i32, i32) -> i32",
        "weather.observed, handled by on_observed",
        "network connect:api.weather.com:80",
        "bus subscribe:weather.observed",
        "memory: 2,097,152",
        "wasi_snapshot_preview1: fd_close, fd_fdstat_get, fd_seek, fd_write",
    ):
        assert part in lines


SETTABLE = """(name: "tiny", api_version: "0.1", exports: {"add": (params: [i32, i32], ret: i32, as_self: true)},
    permissions: {network: ["api.weather.com", "a.example:80"], clock: "wall"},
    reasons: {network: "to fetch", "a.example:80": "to ask a"},
    config: {city: (type: string, default: "Oslo", help: "where"), days: (type: u8), api_key: (type: string, secret: true)})"""


def test_what_decides_about_an_extension_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Why it asks for what it asks for, what can be set about it, and which exports act with rights that a caller may lack."""
    adds = '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
    file = write(tmp_path, extension(SETTABLE, adds))
    assert main(["ext", "inspect", file]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for line in (
        "add(i32, i32) -> i32, with its own rights alone",
        'network connect:api.weather.com:443, "to fetch"',
        'network connect:a.example:80, "to ask a"',
        "clock wall",
        'city: string, by default `"Oslo"`, where',
        "days: u8, to be given",
        "api_key: string, secret",
    ):
        assert line in lines
    assert main(["ext", "inspect", "--json", file]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert manifest["reasons"] == {"network": "to fetch", "connect:a.example:80": "to ask a"}
    assert manifest["config"]["city"] == {"type": "string", "default": '"Oslo"', "secret": False, "help": "where"}
    assert manifest["exports"]["add"]["as_self"] is True
    assert main(["ext", "inspect", "--ron", file]) == 0
    assert parse_manifest(capsys.readouterr().out) == parse_manifest(SETTABLE)


def test_inspect_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object with everything that people are shown, and nothing else."""
    assert main(["ext", "inspect", "--json", str(WIDGET)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["accepted"] is True
    assert shown["reasons"] == []
    assert shown["file"] == str(WIDGET)
    assert shown["size"] == WIDGET.stat().st_size
    assert shown["manifest"]["name"] == "weather-widget"
    assert shown["manifest"]["requested"]["network"] == ["connect:api.weather.com:80"]
    assert "request" in shown["imports"]["desk@0.1"]
    assert "render" in shown["exports"]


def test_inspect_as_ron(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--ron` prints the manifest and nothing else: as a file, it is the manifest of the same module."""
    assert main(["ext", "inspect", "--ron", str(WIDGET)]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    assert parse_manifest(text) == parse_manifest(WIDGET.with_name("manifest.ron").read_text("utf-8"))
    (tmp_path / "again.ron").write_text(text, "utf-8")
    assert main(["ext", "inspect", "--ron", str(WIDGET), "--manifest", str(tmp_path / "again.ron")]) == 0
    assert capsys.readouterr().out == text


def test_inspect_as_ron_of_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The manifest is printed if there is one; why the module may not run stands on standard error, and in the exit code."""
    assert main(["ext", "inspect", "--ron", write(tmp_path, module(""), MANIFEST)]) == 1
    text, errors = capsys.readouterr()
    assert parse_manifest(text) == parse_manifest(MANIFEST)
    assert errors.startswith("desk: refused: ")
    assert main(["ext", "inspect", "--ron", write(tmp_path, module(""), "(name = 1)")]) == 1
    text, errors = capsys.readouterr()
    assert text == ""
    assert "line 1" in errors
    with pytest.raises(SystemExit) as done:
        main(["ext", "inspect", "--ron", "--json", str(WIDGET)])
    assert done.value.code == 2


REFUSED = module(
    '(import "desk@0.1" "raed" (func (param i32 i32 i32 i32) (result i32)))'
    '(import "env" "puts" (func (param i32) (result i32)))'
    '(memory (export "memory") 1) (func (export "g") (result i64) i64.const 0)',
    '(name: "tiny", api_version: "0.1", exports: {"f": (params: []), "g": (params: [])})',
)
WHY_REFUSED = ("`raed`", "did you mean `read`", "`puts`", "export `f` is missing", "export `g` has type")


TYPED = """(name: "tiny", api_version: "0.1",
    types: {"reading": (city: string(1..=80), tmax: option(f64))},
    exports: {"f": (params: (at: u8, all: list(reading)), ret: enum(cold, warm)), "g": (params: [bool])},
    publishes: {"weather.changed": reading},
)"""


@pytest.mark.parametrize("where", ["alone", "beside", "inside"])
def test_types_as_cddl(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every argument, result, event and named type has a rule; wherever the manifest is."""
    file = tmp_path / "tiny.ron"
    file.write_text(TYPED)
    if where == "beside":
        file = Path(write(tmp_path, b"\0asm\1\0\0\0", TYPED))
    elif where == "inside":
        file = Path(write(tmp_path, with_custom_section(b"\0asm\1\0\0\0", "desk:manifest", TYPED.encode())))
    assert main(["ext", "types", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" =")[0] for line in lines] == [
        *("f.at", "f.all", "f.ret", "g.0", "weather.changed", "reading", "u8", "f64"),
    ]
    assert "f.all = [* reading]" in lines
    assert 'f.ret = "cold" / "warm"' in lines


def test_types_as_json_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object: a schema for each name."""
    file = tmp_path / "tiny.ron"
    file.write_text(TYPED)
    assert main(["ext", "types", "--json-schema", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["f.at", "f.all", "f.ret", "g.0", "weather.changed", "reading"]
    assert told["f.ret"]["enum"] == ["cold", "warm"]
    assert told["f.all"]["items"] == {"$ref": "#/$defs/reading"}


def test_types_of_the_same_name_are_all_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A parameter `ret`, the result, and a subject that is called like them; a subject and a named type."""
    file = tmp_path / "tiny.ron"
    file.write_text(
        """(name: "tiny", api_version: "0.1", exports: {"f": (params: (ret: u8), ret: bool)}, types: {"tick": u16},
            publishes: {"f.ret": char, "tick": u32})"""
    )
    assert main(["ext", "types", "--json-schema", str(file)]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["f.ret", "f.ret_", "f.ret__", "tick", "tick_"]
    assert main(["ext", "types", str(file)]) == 0
    rules = [line.partition(" =")[0] for line in capsys.readouterr().out.splitlines()]
    assert len(set(rules)) == len(rules)


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("a.ron", b"(name: 1)", 1, "expected"),
        ("a.wasm", b"\0asm\1\0\0\0", 1, "there is no manifest in it"),
        ("a.wasm", b"not wasm", 1, "a.wasm"),
        ("a.wasm", None, 2, "there is no"),
    ],
    ids=["bad manifest", "no manifest", "no module", "no file"],
)
def test_types_of_what_has_none(
    name: str, content: bytes | None, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says whether the file or what is in it is the fault; the sentence names the file."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    assert main(["ext", "types", str(file)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def test_a_refusal_has_every_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and each reason on a line of its own."""
    assert main(["ext", "inspect", write(tmp_path, REFUSED)]) == 1
    shown = capsys.readouterr().out
    assert "accepted" not in shown
    reasons = [line for line in shown.splitlines() if line.startswith("    - ")]
    assert len(reasons) == 4
    assert all(any(why in reason for reason in reasons) for why in WHY_REFUSED)


def test_a_refusal_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same reasons as texts, `accepted` is false, and the exit code is 1 as well."""
    assert main(["ext", "inspect", "--json", write(tmp_path, REFUSED)]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["accepted"] is False
    assert len(shown["reasons"]) == 4
    assert all(any(why in reason for reason in shown["reasons"]) for why in WHY_REFUSED)


@pytest.mark.parametrize(
    ("wasm", "why"),
    [
        (b"", "not wasm"),
        (b"#!/bin/sh\n", "not wasm"),
        (ECHO[: len(ECHO) // 2], "not a well-formed module"),
        (ECHO.replace(b"desk:manifest", b"something-els"), "no manifest"),
        (extension(MANIFEST.replace("exports", "exprots"), '(func (export "f"))'), "did you mean `exports`"),
        (extension(MANIFEST, '(func (export "f") i32.const 1)'), "its code is not valid"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_is_no_extension_is_refused(
    wasm: bytes, why: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing, another file, half a module, none or a wrong manifest inside, invalid code: exit code 1, and why."""
    assert main(["ext", "inspect", *flags, write(tmp_path, wasm)]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    if flags:
        assert any(why in reason for reason in json.loads(shown.out)["reasons"])
    else:
        assert why in shown.out


def test_a_manifest_may_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--manifest` is used instead of the one beside the module; a module without one is refused."""
    wasm = module('(memory (export "memory") 1) (func (export "f"))')
    file = write(tmp_path, wasm)
    assert main(["ext", "inspect", file]) == 1
    assert "no manifest" in capsys.readouterr().out
    (tmp_path / "manifest.ron").write_text("(")
    (tmp_path / "mine.ron").write_text(MANIFEST)
    assert main(["ext", "inspect", file, "--manifest", str(tmp_path / "mine.ron")]) == 0
    assert capsys.readouterr().out.startswith("tiny (no version)")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_file_that_cannot_be_read_is_2(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, or a directory, module or manifest: one line on stderr that names it, and nothing on stdout."""
    good = write(tmp_path, ECHO)
    for arguments, named in (
        ([str(tmp_path / "missing.wasm")], "missing.wasm"),
        ([str(tmp_path)], str(tmp_path)),
        ([good, "--manifest", str(tmp_path / "missing.ron")], "missing.ron"),
        ([good, "--manifest", str(tmp_path)], str(tmp_path)),
    ):
        assert main(["ext", "inspect", *flags, *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("desk: ")
        assert shown.err.count("\n") == 1
        assert named in shown.err
        assert "[Errno" not in shown.err


@pytest.mark.parametrize("given", [False, True])
def test_a_manifest_too_large_is_not_read(given: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One beside the module and one given are bounded alike, before all of it is in memory: exit code 2."""
    file = write(tmp_path, ECHO)
    huge = tmp_path / ("given.ron" if given else "manifest.ron")
    huge.write_text(" " * 70_000 + MANIFEST)
    assert main(["ext", "inspect", file, *(["--manifest", str(huge)] if given else [])]) == 2
    assert "is larger than 65,536 bytes" in capsys.readouterr().err


def test_a_typo_in_a_manifest_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the reason has line and column, the nearest word, and the line with a caret below the typo."""
    text = '(\n    name: "tiny",\n    api_version: "0.1",\n    exprots: {},\n)'
    assert main(["ext", "inspect", write(tmp_path, ECHO, text)]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines()[-4:] == [
        "  refused:",
        "    - manifest of tiny, line 4, column 5: unknown field `exprots`; did you mean `exports`?",
        "      4 |     exprots: {},",
        "        |     ^",
    ]
    assert main(["ext", "inspect", "--json", str(tmp_path / "tiny.wasm")]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["accepted"] is False
    assert "did you mean `exports`?" in report["reasons"][0]


# -- what a guest says is not obeyed

HOSTILE = "\x1b[2J\x1b[31mred\x07 \u202egnp.exe\u2069 \x9b1m"
VERDICT = "\n  accepted: a host would run it"


def obeyed(text: str) -> list[str]:
    """The characters in `text` that a terminal would act upon."""
    return [c for c in text if not c.isprintable() and c != "\n"]


def _ron(text: str) -> str:
    """`text` as a RON string, all of it in escapes."""
    return '"' + "".join(f"\\u{{{ord(c):x}}}" for c in text) + '"'


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_hostile_text_is_shown_and_not_obeyed(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control and bidi characters in a description, and in the names a module imports and exports, come out as escapes."""
    wat_name = "".join(f"\\{byte:02x}" for byte in HOSTILE.encode())
    manifest = MANIFEST.replace("(name", f"(description: {_ron(HOSTILE)}, name")
    wasm = module(
        f'(import "{wat_name}" "{wat_name}" (func)) (memory (export "memory") 1) (func (export "{wat_name}"))',
        manifest,
    )
    assert main(["ext", "inspect", *flags, write(tmp_path, wasm)]) == 1
    shown = capsys.readouterr().out
    assert obeyed(shown) == []
    assert "\\x1b[31mred" in shown or "\\u001b[31mred" in shown
    assert "\\u202e" in shown


@pytest.mark.parametrize("typo", [f"{{{_ron(HOSTILE)}: 1}}", f"[{_ron(HOSTILE)}]", '"\u202e\x1b[31m"', "\x1b[31m"])
def test_a_hostile_typo_is_shown_and_not_obeyed(typo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything in an error about a manifest, excerpt included."""
    text = f'(name: "tiny", api_version: "0.1", permissions: {typo})'
    assert main(["ext", "inspect", write(tmp_path, ECHO, text)]) == 1
    shown = capsys.readouterr().out
    assert obeyed(shown) == []
    assert re.search(r"^    - manifest( of tiny)?, line 1", shown, re.MULTILINE)


@pytest.mark.parametrize("where", ["description", "import"])
def test_a_guest_cannot_forge_a_verdict(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line feed in a text of the extension does not begin a line that reads like ours."""
    manifest, imported = MANIFEST, "puts"
    if where == "description":
        manifest = MANIFEST.replace("(name", f"(description: {_ron('fine' + VERDICT)}, name")
    else:
        imported = "puts" + VERDICT.replace("\n", "\\0a")
    wasm = module(f'(import "env" "{imported}" (func)) (memory (export "memory") 1)', manifest)
    assert main(["ext", "inspect", write(tmp_path, wasm)]) == 1
    assert VERDICT.strip("\n") not in capsys.readouterr().out.splitlines()


def test_a_hostile_file_name_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a downloaded file is as much an attack as what is in it."""
    file = tmp_path / f"{HOSTILE}.wasm"
    file.write_bytes(b"not wasm")
    assert main(["ext", "inspect", str(file)]) == 1
    assert obeyed(capsys.readouterr().out) == []
    assert main(["ext", "inspect", str(tmp_path / f"no {HOSTILE}")]) == 2
    assert obeyed(capsys.readouterr().err) == []


def test_a_file_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    """A name with bytes that are no UTF-8 is a name like any other on Linux: no traceback."""
    file = os.fsencode(tmp_path) + b"/\xff\xfe.wasm"
    try:
        Path(os.fsdecode(file)).write_bytes(b"not wasm")
    except OSError:
        pytest.skip("this file system takes text names only")
    done = desk("ext", "inspect", os.fsdecode(file), env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_printable_keeps_what_is_text() -> None:
    """Letters of any script and emoji stay; what moves the cursor, hides or turns the line becomes an escape."""
    assert printable("Zoë 天気 🌧 a-b") == "Zoë 天気 🌧 a-b"
    assert obeyed(printable(HOSTILE + "\r\t\x00\u200b\u2028\ufeff\ud800")) == []
    assert printable("\x1b") == "\\x1b"


# -- colour


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "desk.cli.main", *arguments]
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, env={**os.environ, **environment}) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not part:
                break
            shown += part
        os.close(ours)
        assert process.wait(60) == 0
    return shown.decode()


def test_colour_is_for_terminals_that_want_it() -> None:
    """On a terminal there is colour; with `NO_COLOR` there is none, and an empty `NO_COLOR` counts as not set."""
    inspect = ("ext", "inspect", str(WIDGET))
    assert "\x1b[32maccepted\x1b[0m" in on_a_terminal(*inspect)
    assert "\x1b[32maccepted\x1b[0m" in on_a_terminal(*inspect, NO_COLOR="")
    assert "\x1b" not in on_a_terminal(*inspect, NO_COLOR="1")


@pytest.mark.parametrize("file", [str(WIDGET), "no such file"])
def test_what_is_no_terminal_gets_no_escapes(file: str) -> None:
    """Into a pipe goes plain text."""
    done = desk("ext", "inspect", file)
    assert obeyed(done.stdout + done.stderr) == []
    assert done.returncode == (0 if file == str(WIDGET) else 2)


def test_a_stream_that_takes_ascii_only_gets_ascii() -> None:
    """What such a stream has no form for becomes a question mark, not a traceback."""
    done = desk("ext", "inspect", str(WIDGET), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    stream = StringIO()
    Terminal(stream).line("Zoë")
    assert stream.getvalue() == "Zo?\n"


# -- the world outside


@pytest.mark.parametrize(
    "arguments", [("--help",), ("ext", "inspect", str(WIDGET)), ("ext", "inspect", "--json", str(WIDGET))]
)
def test_a_reader_that_has_gone_is_no_error(arguments: tuple[str, ...]) -> None:
    """`desk … | head -1` ends quietly, with exit code 0."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = desk(*arguments, capture_output=False, stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_stops_the_demo(tmp_path: Path) -> None:
    """Exit code 130, one line on stderr, no traceback."""
    command = [sys.executable, "-m", "desk.cli.main", "demo", "--card", str(tmp_path / "card.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "weather-widget" in process.stdout.readline()  # it runs
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, "desk: stopped\n")


# -- desk demo


def test_the_demo_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; every figure equals Python's, the forecast came, one request was denied, and the card is a picture."""
    card = tmp_path / "card.png"
    assert main(["demo", "--json", "--card", str(card)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    results = json.loads(shown.out)
    assert results["events"] == 1461  # four years, one of them a leap year
    assert (results["figures"], results["wrong_figures"]) == (96, 0)  # twelve months of eight
    assert results["forecast"] == FORECAST["summary"]
    assert results["denied"] == 1
    assert "telemetry.example.net" in results["denial"]
    assert "the manifest does not ask for it" in results["denial"]
    assert results["records"] > 0
    assert results["spans"] > results["events"]
    assert results["events_per_second"] > 0
    png = card.read_bytes()
    assert len(png) == results["card_bytes"]
    assert png[:16] == b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    assert struct.unpack(">II", png[16:24]) == (960, 540)


def test_the_demo_tells_a_story(tmp_path: Path) -> None:
    """Each step is a line, the denial among them with the line that would allow it, and one call is a tree of spans."""
    done = desk("demo", "--card", str(tmp_path / "card.png"), env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert obeyed(done.stdout) == []
    steps = [line.partition("  ")[0] if line[:1] != " " else line[:9].strip() for line in done.stdout.splitlines()]
    for step in ("loaded", "asks for", "granted", "events", "checked", "forecast", "denied", "drawn"):
        assert step in steps
    assert 'add `network: ["connect:telemetry.example.net:80"]`' in done.stdout
    assert "└─ process ext.weather-widget.forecast" in done.stdout
    assert done.stdout.count("decide network.http") == 2


@pytest.mark.parametrize(
    "variable",
    [
        "OTEL_SDK_DISABLED=true",
        "OTEL_TRACES_EXPORTER=zipkin",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=many",
        "OTEL_SPAN_EVENT_COUNT_LIMIT=many",
        "OTEL_TRACES_SAMPLER=always_off",
    ],
)
def test_the_demo_shows_its_own_spans_whatever_the_environment_says(variable: str, tmp_path: Path) -> None:
    """`OTEL_*` variables are for programs that send spans somewhere: the demo neither obeys them nor trips over them."""
    name, _, value = variable.partition("=")
    done = desk("demo", "--json", "--card", str(tmp_path / "card.png"), env={**os.environ, name: value})
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["spans"] > 0


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_card_that_cannot_be_written_is_told(flags: list[str], tmp_path: Path) -> None:
    """One line on stderr that names the file, a failing exit code, and no traceback."""
    card = tmp_path / "missing" / "card.png"
    done = desk("demo", *flags, "--card", str(card))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("desk: ")
    assert str(card) in done.stderr


GOOD = Results(figures=96, forecast=str(FORECAST["summary"]), denied=1)


def test_the_demo_fails_if_anything_is_not_as_it_must_be() -> None:
    """No figures, a wrong one, another forecast, a denial too few or too many: none of these is good."""
    assert GOOD.good
    for bad in (
        Results(),
        replace(GOOD, figures=0),
        replace(GOOD, wrong_figures=1),
        replace(GOOD, forecast="Sunny"),
        replace(GOOD, denied=0),
        replace(GOOD, denied=2),
    ):
        assert not bad.good


def test_the_figures_are_those_of_the_rows() -> None:
    """Python's own statistics, by hand: two days of January, one of each other month."""
    rows = [
        Observation(date=f"2024-{month:02}-01", precipitation=0.0, temp_max=10.0, temp_min=2.0, wind=1.0, weather="sun")
        for month in range(1, 13)
    ]
    rows.append(
        Observation(date="2025-01-31", precipitation=3.5, temp_max=14.0, temp_min=-4.0, wind=1.0, weather="rain")
    )
    january, *others = statistics(rows)
    assert january == {
        "month": 1,
        "days": 2,
        "mean_max": 12.0,
        "mean_min": -1.0,
        "highest": 14.0,
        "lowest": -4.0,
        "precipitation": 3.5,
        "wet_days": 1,
    }
    assert [month["month"] for month in others] == list(range(2, 13))
    assert all((month["days"], month["wet_days"]) == (1, 0) for month in others)


def test_the_data_is_whole() -> None:
    """1461 days in order, from 2012 to 2015, none missing."""
    rows = read_observations(WIDGET.with_name("seattle-weather.csv"))
    dates = [row["date"] for row in rows]
    assert (dates[0], dates[-1], len(dates)) == ("2012/01/01", "2015/12/31", 1461)
    assert dates == sorted(set(dates))
