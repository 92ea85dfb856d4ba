"""What a host is told to read and write: the operator's policy as a file, and places that cannot be used, which are named."""

from pathlib import Path

import pytest
from extensions import relay

from desk.capabilities.policy_file import PolicyError
from desk.host import Capability, Host, PermissionSyntaxError

pytestmark = pytest.mark.anyio


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where the hosts here keep compiled modules."""
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_policy_may_be_a_file(tmp_path: Path, cache: Path, kind: type[str] | type[Path]) -> None:
    """Its path is as good as the policy: what it denies is denied, what it grants is granted."""
    file = tmp_path / "policy.ron"
    file.write_text('(deny: {network: ["b.example.com"]}, grants: {"one": "requested"})')
    async with Host(policy=kind(file), cache_dir=cache) as host:
        await host.load(relay("one", 'network: ["a.example.com", "b.example.com"]'))
        assert host.grants.explain("one", "network", "a.example.com").allowed
        assert host.grants.explain("one", "network", "b.example.com").missing == "rule"


async def test_a_policy_may_name_what_the_app_brings(tmp_path: Path) -> None:
    """The file is read with the host's own capabilities: each has its section."""

    class Notes(Capability):
        """One section, and nothing to ask for."""

        name = "notes"

        def parse(self, text: str) -> str:
            """No permission is one."""
            raise PermissionSyntaxError(f"no note is {text}", "none")

    file = tmp_path / "policy.ron"
    file.write_text('(deny: {notes: ["x"]})')
    with pytest.raises(PolicyError, match="no note is x"):
        Host(policy=file, capabilities=iter([Notes()]))
    with pytest.raises(PolicyError, match="unknown permission section `notes`"):
        Host(policy=file)


def test_a_policy_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    """When the host is made, not when it is opened: which argument it was, and why."""
    (tmp_path / "policy.ron").write_text("(")
    with pytest.raises(PolicyError, match=r"policy\.ron, line 1"):
        Host(policy=tmp_path / "policy.ron")
    with pytest.raises(FileNotFoundError, match=r"policy='.*missing\.ron': No such file"):
        Host(policy=tmp_path / "missing.ron")


async def test_a_place_that_cannot_be_used_is_named_by_its_argument(tmp_path: Path, cache: Path) -> None:
    """Whoever made the host knows what to change; it can be told by the kind of error, too."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match=r"data_dir='.*file': Not a directory"):
        await Host(data_dir=file, cache_dir=cache).__aenter__()
    with pytest.raises(NotADirectoryError, match=r"data_dir='.*below': Not a directory"):
        await Host(data_dir=file / "below", cache_dir=cache).__aenter__()
    with pytest.raises(FileNotFoundError, match=r"audit='.*audit\.jsonl': No such file or directory"):
        await Host(audit=tmp_path / "missing" / "audit.jsonl", cache_dir=cache).__aenter__()
    with pytest.raises(OSError, match=r"audit='.*': .*irectory"):
        await Host(audit=tmp_path, cache_dir=cache).__aenter__()
    with pytest.raises(OSError, match=r"cache_dir='.*file': "):
        await Host(cache_dir=file).__aenter__()
