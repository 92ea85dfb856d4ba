"""Every word that can appear in a trace, in one table.

A span is named `{verb} {target}`: `publish weather.changed`, `compile weather-widget`. Targets come from manifests
(subjects, extensions, capabilities), so there are few of them; what differs from message to message is an attribute
and never part of a name. A test walks the code and finds no span name anywhere else.

Where the OpenTelemetry semantic conventions (1.44) have a word we use it: for messages those of
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, and `error.type`. They have none for actors or
sandboxes: those words are ours, `desk.*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanKind


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """One kind of thing that is done.

    `target` is the attribute that carries what it is done to; `fixed` are attributes every such span has.
    """

    verb: str
    kind: SpanKind
    target: str
    fixed: Mapping[str, str]

    def name(self, target: str) -> str:
        """The span's name: `publish weather.changed`."""
        return f"{self.verb} {target}"


SUBJECT: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
MESSAGE_SIZE: Final = "messaging.message.body.size"
"""Bytes of the encoded payload."""

EXTENSION: Final = "desk.extension"
EXPORT: Final = "desk.export"
CAPABILITY: Final = "desk.capability"
ALLOWED: Final = "desk.allowed"
"""Whether the broker let the request through (bool)."""
ATTEMPT: Final = "desk.attempt"
"""1 for the first delivery of a message."""
QUEUE_WAIT: Final = "desk.queue.wait_ms"
"""How long the message lay in the mailbox, in milliseconds (float)."""
RECEIVERS: Final = "desk.receivers"
"""How many mailboxes took the event."""

ERROR_TYPE: Final = "error.type"
CANCELLED: Final = "desk.cancelled"
"""True on a span whose task was cancelled: neither a success nor an error."""


def _message(operation: str, operation_type: str) -> Mapping[str, str]:
    return {
        "messaging.system": "desk",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation_type,
    }


PUBLISH: Final = Act("publish", SpanKind.PRODUCER, SUBJECT, _message("publish", "send"))
"""Someone tells everyone who listens."""
PROCESS: Final = Act("process", SpanKind.CONSUMER, SUBJECT, _message("process", "process"))
"""A receiver acts on one message; everything it does hangs below."""
REQUEST: Final = Act("request", SpanKind.CLIENT, SUBJECT, _message("request", "send"))
"""Someone asks one receiver and waits for the answer."""
DECIDE: Final = Act("decide", SpanKind.INTERNAL, CAPABILITY, {})
"""The broker holds a request of a guest against its grants."""
CALL: Final = Act("call", SpanKind.CLIENT, CAPABILITY, {})
"""A provider carries out what was allowed."""
LOAD: Final = Act("load", SpanKind.INTERNAL, EXTENSION, {})
"""An extension becomes a running actor: manifest, admission, `COMPILE`, `INSTANTIATE`."""
COMPILE: Final = Act("compile", SpanKind.INTERNAL, EXTENSION, {})
INSTANTIATE: Final = Act("instantiate", SpanKind.INTERNAL, EXTENSION, {})

ACTS: Final = (PUBLISH, PROCESS, REQUEST, DECIDE, CALL, LOAD, COMPILE, INSTANTIATE)
