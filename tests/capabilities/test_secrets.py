"""Secrets: who may see them, and where they are taken out of texts."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus import codec
from desk.bus.codec import CodecError
from desk.bus.types import STRING, InvalidValue
from desk.capabilities.secrets import HIDDEN, Secret, public, redactor

VALUE = "s3cret-k3y"


@dataclasses.dataclass
class Holder:
    """Something that has a secret."""

    key: Secret


def test_a_secret_is_only_given_out_when_asked_for() -> None:
    """No way of showing, copying or formatting it has the value in it."""
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:>40}",
        "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways
        ascii(secret),
        pprint.pformat({"a": [secret]}),
        repr(Holder(secret)),
        repr(dataclasses.asdict(Holder(secret))),
        json.dumps({"key": secret}, default=str),
        repr(copy.deepcopy([secret])),
    ]
    assert [each for each in shown if VALUE in each] == []
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_not_written_down() -> None:
    """Pickle, CBOR and JSON have no form for it, and their errors do not show it."""
    secret = Secret(VALUE)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError) as error:
            pickle.dumps(secret, protocol)
        assert VALUE not in str(error.value)
    with pytest.raises(TypeError):
        secret.__getstate__()
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(CodecError) as encoding:
        codec.encode({"key": secret})
    with pytest.raises(InvalidValue) as checking:
        STRING.check(secret)
    assert VALUE not in f"{encoding.value}{checking.value}"


def test_a_traceback_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    """Nor one with the values of its variables."""
    secret = Secret(VALUE)
    try:
        raise ValueError(f"no such key: {secret}")
    except ValueError as error:
        logging.getLogger("test").exception("failed with %s", secret)
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "secret = Secret(***)" in text
    assert VALUE not in (text + caplog.text).replace(f"VALUE = '{VALUE}'", "")


def test_what_is_public_is_the_rest() -> None:
    """The settings that are not secret, as they are."""
    assert public({"city": "Seattle", "key": Secret(VALUE), "days": 3}) == {"city": "Seattle", "days": 3}
    assert public({}) == {}


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        (VALUE, f"key={VALUE}; again {VALUE}{VALUE}", "key=***; again ******"),
        (VALUE, "nothing of the kind", "nothing of the kind"),
        (VALUE.encode(), f"key={VALUE}", "key=***"),
        ("abc", "abc", "abc"),
        ("a.*(b", "a.*(b aXX(b", "*** aXX(b"),
        (["first-one", {"deep": "second-one"}], "first-one second-one deep", "*** *** deep"),
        (12345, "12345", "12345"),
        (None, "None", "None"),
        ("", "text", "text"),
    ],
)
def test_secrets_are_taken_out_of_texts(value: object, text: str, shown: str) -> None:
    """Every one of four characters or more, as it is; what is shorter stands in many words, and is left."""
    assert redactor({"key": Secret(value), "city": "nothing"})(text) == shown


def test_of_two_secrets_the_longer_is_found_first() -> None:
    """One that begins as another does leaves no rest."""
    assert redactor({"a": Secret("pass"), "b": Secret("password-2")})("password-2 pass") == f"{HIDDEN} {HIDDEN}"


@given(st.lists(st.text(min_size=4).filter(lambda text: "*" not in text)), st.lists(st.text(max_size=6)))
def test_no_secret_is_left(secrets: list[str], between: list[str]) -> None:
    """Whatever surrounds them, and however they overlap, no secret stands in what is shown; other texts are as they were."""
    redact = redactor({str(number): Secret(each) for number, each in enumerate(secrets)})
    for secret in secrets:
        shown = redact(secret.join(["", *between, ""]))
        assert [each for each in secrets if each in shown] == []
    assert redactor({})("".join(between)) == "".join(between)
