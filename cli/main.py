"""The `desk` command: parse, dispatch, and turn errors into one line and an exit code that means something.

Each command lives in a file of its own and is imported only when it runs: `desk --help` starts no engine.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from desk.bus.errors import DeskError
from desk.cli.exits import FAILED, INTERRUPTED, OK, USAGE
from desk.traces.errors import TracingMisconfigured


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()  # here, where we can still say how it went
    except BaseException as error:
        match _unwrapped(error):
            case BrokenPipeError():
                # The reader of our output has gone; there is nobody to tell, and nothing to be flushed at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return OK
            case KeyboardInterrupt():
                print("desk: stopped", file=sys.stderr)
                return INTERRUPTED
            case DeskError() | TracingMisconfigured() | OSError() as cause:
                print(f"desk: {cause}", file=sys.stderr)
                return FAILED
            case _:
                raise


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.version:
        return _version()
    if "run" not in arguments:
        arguments.help()
        return USAGE
    return arguments.run(arguments)


def _unwrapped(error: BaseException) -> BaseException:
    """The error itself, where task groups have only wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        if len(inner) != 1:
            raise error
        error = inner[0]
    return error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="desk",
        description="Run WASM extensions as sandboxed, traced actors.",
        epilog="Start with `desk demo`, then look into what it ran: `desk ext inspect FILE.wasm`.",
    )
    parser.add_argument("--version", action="store_true", help="print the version of desk and of the guest ABI")
    parser.set_defaults(help=parser.print_help)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="run a real extension on real weather data",
        description="Load the example extension `weather-widget`, publish four years of daily weather to it, check its "
        "figures against Python's, let it fetch what it may and be refused what it may not, and save the card it draws.",
    )
    demo.add_argument("--card", metavar="FILE", default="card.png", help="where to save the card (default: card.png)")
    demo.add_argument("--json", action="store_true", help="print the results as one JSON object instead")
    demo.set_defaults(run=_demo)

    run = commands.add_parser(
        "run",
        help="host all extensions of a folder until Ctrl-C",
        description="Load every *.wasm of a folder, and of the folders right below it, each with its manifest inside of it or as "
        "`manifest.ron` beside it. Show what each was granted of what it asks for, then a line for each denial, failure and line "
        "of its log, until Ctrl-C (or SIGTERM). What waits is handled before the end; a second Ctrl-C does not wait for it.",
        epilog="Exit code: 0 all of them ran until they were stopped, 1 one or more were refused (the others ran), or the "
        "host could not start, 2 wrong usage, or the folder has no module, 130 stopped by a second Ctrl-C.",
    )
    _add_run_options(run)

    audit = commands.add_parser(
        "audit",
        help="show what extensions were allowed and denied",
        description="Print the decisions in a file that a host has written (`desk run --audit FILE`), oldest first, one a line. "
        "Times are UTC. Older files are beside it: FILE.1 is the one before, FILE.2 the one before that.",
        epilog="Exit code: 0, 2 the file cannot be read.",
    )
    audit.add_argument("file", metavar="FILE", help="the file, as in audit.jsonl")
    audit.add_argument("--json", action="store_true", help="print one JSON object a line instead, for scripts")
    audit.add_argument("--extension", metavar="NAME", help="only the decisions of this extension")
    audit.add_argument(
        "--denied", action="store_true", help="only what was denied, or would have been if rules were enforced"
    )
    audit.set_defaults(run=_audit)

    ext = commands.add_parser("ext", help="work on extensions", description="Commands for extension authors.")
    ext.set_defaults(help=ext.print_help)
    ext_commands = ext.add_subparsers(title="commands", metavar="COMMAND")
    inspect = ext_commands.add_parser(
        "inspect",
        help="say what a module is, what it asks for, and whether it may run",
        description="Read a module and its manifest (embedded, or `manifest.ron` beside the file), show what it exports, "
        "listens to and asks for, and whether a host would run it. Nothing in it is run.",
        epilog="Exit code: 0 it may run, 1 it is refused (with the reasons), 2 a file cannot be read.",
    )
    inspect.add_argument("file", metavar="FILE", help="the .wasm module")
    inspect.add_argument("--manifest", metavar="FILE", help="use this manifest (RON) instead")
    form = inspect.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_const",
        const="json",
        dest="form",
        default="text",
        help="print one JSON object instead, for scripts",
    )
    form.add_argument(
        "--ron",
        action="store_const",
        const="ron",
        dest="form",
        help="print only the manifest, as it was understood, in RON",
    )
    inspect.set_defaults(run=_inspect)

    types = ext_commands.add_parser(
        "types",
        help="write down what an extension takes and gives, for others",
        description="Print the types of an extension's exports and events as CDDL (RFC 8610), which says what their CBOR looks "
        "like, or as JSON Schema. Each has a name: `render.width`, `render.ret`, or the subject of an event.",
        epilog="Exit code: 0, 1 there is no manifest that can be read, 2 the file cannot be read.",
    )
    types.add_argument("file", metavar="FILE", help="the .wasm module, or a manifest (.ron)")
    types.add_argument(
        "--json-schema",
        action="store_const",
        const="json-schema",
        dest="form",
        default="cddl",
        help="print a JSON object with a JSON Schema (draft 2020-12) for each name instead",
    )
    types.set_defaults(run=_types)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("folder", metavar="DIR", type=Path, help="the folder")
    grants = run.add_mutually_exclusive_group()
    grants.add_argument(
        "--grant",
        metavar="[NAME=]SECTION:TEXT",
        action="append",
        default=[],
        dest="grants",
        help="a permission as a manifest writes it, as in network:api.weather.com:80, for all extensions that ask for it, or "
        "for one: weather-widget=network:api.weather.com:80; may be repeated",
    )
    grants.add_argument("--grant-requested", action="store_true", help="grant each of them all that it asks for")
    run.add_argument(
        "--policy",
        metavar="FILE",
        type=Path,
        help="the operator's rules (RON): what is denied, whatever is granted (docs/policy.md)",
    )
    run.add_argument(
        "--data-dir", metavar="DIR", type=Path, help="where extensions keep their files and state (default: nowhere)"
    )
    run.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help='what manifests list in `config`, in JSON: {"weather-widget": {"city": "Paris"}}; secrets belong here, too',
    )
    run.add_argument("--ask", action="store_true", help="ask on this terminal about what is requested and not granted")
    run.add_argument(
        "--observe",
        action="store_true",
        help="let through what lacks only a grant or a request, and say so; the policy's deny rules hold",
    )
    run.add_argument("--audit", metavar="FILE", type=Path, help="write each decision into this file, as a line of JSON")
    run.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help='print one JSON object a line instead, for scripts: `event` says what it is; a denial is {"event": "denied", '
        '"extension", "permission", "reason", "missing"}, what was only observed the same with "observed". As in the log, '
        "what is repeated within a minute is told once; --audit has all",
    )
    run.set_defaults(run=_host)


def _version() -> int:
    from importlib.metadata import version

    from desk.actors.manifest import API_VERSIONS

    print(f"desk {version('desk-ext')}, guest ABI {', '.join(API_VERSIONS)}")
    return OK


def _demo(arguments: argparse.Namespace) -> int:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]  # it shows its own spans, to nobody else; some of these are read when the SDK is imported
    from desk.cli import demo

    return demo.run(arguments.card, as_json=arguments.json)


def _host(arguments: argparse.Namespace) -> int:
    from desk.cli import run

    return run.run(run.Options(**{name: getattr(arguments, name) for name in run.Options.__slots__}))


def _audit(arguments: argparse.Namespace) -> int:
    from desk.cli import audit

    return audit.run(arguments.file, as_json=arguments.json, extension=arguments.extension, denied=arguments.denied)


def _inspect(arguments: argparse.Namespace) -> int:
    from desk.cli import inspect

    return inspect.run(arguments.file, arguments.manifest, arguments.form)


def _types(arguments: argparse.Namespace) -> int:
    from desk.cli import types

    return types.run(arguments.file, arguments.form)


if __name__ == "__main__":
    sys.exit(main())
