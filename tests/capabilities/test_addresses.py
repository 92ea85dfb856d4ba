"""Public or not is decided by a table of our own, and the operator's map is read as strictly as a permission."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.capabilities.addresses import AddressMap, Endpoint, is_public, unmapped
from desk.capabilities.hosts import parse_host
from desk.capabilities.syntax import PermissionSyntaxError

PUBLIC = [
    "8.8.8.8",
    "1.0.0.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2620:4f:8000::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "100::1",
    "2001:2::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:808:808::80ff:fffe",
    "2001:0:7f00:1::f7f7:f7f7",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """Unicast addresses of the internet are public, up to the very edges of the blocks that are not."""
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    """Loopback, private, link-local, shared, metadata, documentation, multicast, reserved: also inside other forms."""
    assert not is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_public_v4_is_global(address: IPv4Address) -> None:
    """The standard library never calls an IPv4 address non-global, or multicast, that we call public."""
    assert not is_public(address) or (address.is_global and not address.is_multicast)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}"]))
def test_disguised_v4(address: IPv4Address, form: str) -> None:
    """IPv4 inside IPv6 is public exactly if the IPv4 address is."""
    assert is_public(IPv6Address(form.format(address))) == is_public(address)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_teredo_carries_two(server: IPv4Address, client: IPv4Address) -> None:
    """A Teredo address is public only if its server and its (inverted) client both are."""
    teredo = IPv6Address((0x2001_0000 << 96) | (int(server) << 64) | (int(client) ^ 0xFFFF_FFFF))
    assert is_public(teredo) == (is_public(server) and is_public(client))


def test_unmapped() -> None:
    """An IPv4-mapped address is the IPv4 address; nothing else is touched."""
    assert unmapped(ip_address("::ffff:192.0.2.1")) == ip_address("192.0.2.1")
    assert unmapped(ip_address("64:ff9b::1")) == ip_address("64:ff9b::1")
    assert unmapped(ip_address("192.0.2.1")) == ip_address("192.0.2.1")


def test_endpoint_text() -> None:
    """An endpoint shows as people write it, with IPv6 in brackets."""
    assert str(Endpoint(ip_address("127.0.0.1"), 80)) == "127.0.0.1:80"
    assert str(Endpoint(ip_address("::1"), 80)) == "[::1]:80"


def test_map_finds_name_and_port_first() -> None:
    """An entry for a name and port comes before one for the name; names are the same in any case."""
    addresses = AddressMap({"API.example.com": ("127.0.0.1", 8080), "api.example.com:8443": ("::1", 9000)})
    name = parse_host("api.example.com")
    assert addresses.find(name, 443) == Endpoint(ip_address("127.0.0.1"), 8080)
    assert addresses.find(name, 8443) == Endpoint(ip_address("::1"), 9000)
    assert addresses.find(parse_host("example.com"), 443) is None


def test_map_never_touches_addresses() -> None:
    """A literal address is its own answer: only names are mapped, and a pattern of names is no name."""
    addresses = AddressMap({"example.com": ("127.0.0.1", 8080)})
    assert addresses.find(parse_host("192.0.2.7"), 80) is None
    assert addresses.find(parse_host("*"), 80) is None
    assert AddressMap().find(parse_host("example.com"), 80) is None


@pytest.mark.parametrize(
    ("key", "address", "port"),
    [
        ("", "127.0.0.1", 80),
        ("192.0.2.7", "127.0.0.1", 80),
        ("[::1]", "127.0.0.1", 80),
        ("*.example.com", "127.0.0.1", 80),
        ("*", "127.0.0.1", 80),
        ("http://example.com", "127.0.0.1", 80),
        ("example.com:0", "127.0.0.1", 80),
        ("example.com:80-90", "127.0.0.1", 80),
        ("example.com:*", "127.0.0.1", 80),
        ("example.com", "localhost", 80),
        ("example.com", "127.1", 80),
        ("example.com", "10.0.0.0/8", 80),
        ("example.com", "127.0.0.1", 0),
        ("example.com", "127.0.0.1", 65536),
        ("example.com", "127.0.0.1", True),
    ],
)
def test_map_is_strict(key: str, address: str, port: int) -> None:
    """An entry that is not one name to one literal address and port is refused when the map is made."""
    with pytest.raises(PermissionSyntaxError):
        AddressMap({key: (address, port)})
