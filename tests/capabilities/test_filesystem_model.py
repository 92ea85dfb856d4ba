"""Files: whatever is asked in whatever order, the answers are those of a tree in memory, and so is the tree on the disk."""

import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
from granted_files import OPENERS, Files
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.capabilities.codes import CapabilityError, Code
from desk.capabilities.filesystem_atoms import FilesystemAtom
from desk.capabilities.providers.beneath import Open
from desk.capabilities.providers.quota import BLOCK, cost_of
from desk.capabilities.syntax import PermissionSyntaxError

pytestmark = pytest.mark.anyio

STORAGE = 5 * BLOCK
Names = tuple[str, ...]
Request = dict[str, Any]

names = st.lists(st.sampled_from(["a", "b", "ä"]), max_size=3).map(tuple)
data = st.sampled_from([b"", b"x", b"yz", bytes(BLOCK), bytes(2 * BLOCK + 1)])
requests = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.just("write"),
            "path": names,
            "data": data,
            "mode": st.sampled_from(["create", "replace", "append", "update"]),
            "offset": st.sampled_from([0, 0, 0, 1, BLOCK]),
        }
    ),
    st.fixed_dictionaries({"do": st.sampled_from(["make_directory", "remove", "stat", "list", "read"]), "path": names}),
    st.fixed_dictionaries({"do": st.just("rename"), "path": names, "to": names}),
)


class Refused(Exception):
    """The model says no, with one of these codes."""

    def __init__(self, *codes: Code) -> None:
        self.codes = codes


class Tree:
    """What there is: files with their content, directories as None; the root is ()."""

    def __init__(self) -> None:
        self.there: dict[Names, bytes | None] = {(): None}

    @property
    def used(self) -> int:
        return sum(cost_of(len(each or b"")) for path, each in self.there.items() if path)

    def do(self, request: Request) -> object:
        path: Names = request["path"]
        what: bytes | Literal[False] | None = self.find(path)
        match request["do"]:
            case "write":
                return self.write(path, what, **{name: request[name] for name in ("data", "mode", "offset")})
            case "make_directory":
                self.change(path, None, what is not False or not path)
            case "remove":
                self.need(what is not False, Code.UNKNOWN)
                self.need(bool(path) and not (what is None and self.below(path)), Code.INVALID)
                del self.there[path]
            case "rename":
                to = self.find(request["to"])
                self.need(bool(path and request["to"]), Code.INVALID)
                self.need(what is not False, Code.UNKNOWN)
                self.need(isinstance(what, bytes) and to is not None, Code.INVALID)
                del self.there[path]
                self.there[request["to"]] = what
            case "stat":
                self.need(what is not False, Code.UNKNOWN)
                return ("directory", 0) if what is None else ("file", len(what or b""))
            case "list":
                self.need(what is not False, Code.UNKNOWN)
                self.need(what is None, Code.INVALID)
                return sorted(self.below(path))
            case _:
                self.need(what is not False, Code.UNKNOWN)
                self.need(what is not None, Code.INVALID)
                return what
        return None

    def write(self, path: Names, what: bytes | Literal[False] | None, data: bytes, mode: str, offset: int) -> int:
        self.need(not offset or mode == "update", Code.INVALID)
        if mode == "create":
            self.change(path, data, what is not False)
            return len(data)
        if mode == "update":
            self.need(what is not False, Code.UNKNOWN)
        self.need(what is not None, Code.INVALID)
        old = what or b""
        if mode == "append":
            data = old + data
        elif mode == "update":
            data = (
                old.ljust(offset, b"\0")[:offset] + data + old[offset + len(data) :]
                if data or offset < len(old)
                else (old.ljust(offset, b"\0"))
            )
        self.change(path, data, False)
        return len(data)

    def change(self, path: Names, new: bytes | None, clash: bool) -> None:
        more = cost_of(len(new or b"")) - (cost_of(len(self.there[path] or b"")) if path in self.there else 0)
        full = more > STORAGE - self.used
        if clash:
            raise Refused(Code.INVALID, *([Code.OVERLOADED] if full or self.used + BLOCK > STORAGE else []))
        self.need(not full, Code.OVERLOADED)
        self.there[path] = new

    def find(self, path: Names) -> bytes | Literal[False] | None:
        """What is there; False if nothing is, and could be."""
        for length in range(len(path)):
            above = self.there.get(path[:length], False)
            if above is not None:
                raise Refused(Code.UNKNOWN if above is False else Code.INVALID, Code.OVERLOADED, Code.INVALID)
        return self.there.get(path, False)

    def below(self, path: Names) -> list[str]:
        return [each[-1] for each in self.there if each and each[:-1] == path]

    @staticmethod
    def need(true: bool, code: Code) -> None:
        if not true:
            raise Refused(code)


def on_disk(root: Path) -> dict[Names, bytes | None]:
    found = {each.relative_to(root).parts: None if each.is_dir() else each.read_bytes() for each in root.rglob("*")}
    return {(): None, **found}


@pytest.mark.parametrize("open_", OPENERS)
@settings(max_examples=30, deadline=None)
@given(script=st.lists(requests, max_size=25))
async def test_it_is_a_tree(open_: Open, script: list[Request]) -> None:
    """Each answer or refusal is the model's, the disk is as the model in the end, and what is counted is what is there."""
    with tempfile.TemporaryDirectory() as directory:
        files = Files(Path(directory), open_)
        a = files.member("a", "readwrite:@data", storage=STORAGE)
        tree = Tree()
        for request in script:
            asked = {
                name: "/".join(("@data", *value)) if name in ("path", "to") else value
                for name, value in request.items()
            }
            operation = asked.pop("do")
            try:
                expected, codes = tree.do(request), ()
            except Refused as refused:
                expected, codes = None, refused.codes
            try:
                answer = await files.ask(operation, asked.pop("path"), by=a, **asked)
            except CapabilityError as error:
                assert error.guest_code in codes, (request, error)  # noqa: PT017
                continue
            assert not codes, request
            match operation:
                case "stat":
                    assert (answer["kind"], answer["size"]) == expected
                case "list":
                    assert [each["name"] for each in answer["entries"]] == expected
                case "read":
                    assert answer["data"] == expected
                case _:
                    assert answer == expected
        if script:
            assert on_disk(files.own()) == tree.there
            left = STORAGE - tree.used
            assert (await files.refused("write", "@data/new file", by=a, data=bytes(left + 1)))[0] is Code.OVERLOADED


segments = st.one_of(
    st.sampled_from(["..", ".", "", "proc", "a", "secret", "link", "dir", "@data", "*", "\\", "\0", "outside"]),
    st.text(max_size=4),
)


@pytest.mark.parametrize("open_", OPENERS)
@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(segments, min_size=1, max_size=5),
    head=st.sampled_from(["{inside}", "", "@data", "/", "{inside}/link"]),
)
async def test_no_path_leads_out(open_: Open, parts: list[str], head: str) -> None:
    """Whatever is written as a path, what is outside is not read, and what is no permission's path is not a request's."""
    with tempfile.TemporaryDirectory() as directory:
        files = Files(Path(directory), open_)
        (files.inside / "dir").mkdir()
        (files.inside / "link").symlink_to(files.outside)
        (files.inside / "dir" / "link").symlink_to("../../outside")
        path = "/".join([head.format(inside=files.inside), *parts])
        with pytest.raises(CapabilityError) as caught:  # there is no file inside
            await files.world.ask(files.a, "filesystem.read", path=path)
        try:
            FilesystemAtom.read(path)
        except PermissionSyntaxError:
            assert caught.value.guest_code is Code.INVALID
        else:
            assert caught.value.guest_code in (Code.DENIED, Code.UNKNOWN, Code.INVALID)
