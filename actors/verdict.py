"""What a call that has returned amounts to: its checked result, or whose word was broken.

A result that is a number is what the export returns. Any other is given with `reply`, exactly once; `fail` is an answer, too.
"""

from desk.actors.errors import BadReply, GuestFailed
from desk.actors.guest import Guest
from desk.bus.types import InvalidValue, Signature


def judge(guest: Guest, signature: Signature, returned: int | float | None) -> object:
    """The result; `returned` is the export's own. Raises `GuestFailed` and `BadReply`."""
    result = signature.result
    if guest.replies > 1:
        raise BadReply(f"answered {guest.replies} times; `reply` or `fail` is called once")
    if guest.failure is not None:
        raise GuestFailed(*guest.failure)
    if result is None or result.flat is not None:
        if guest.replies:
            raise BadReply(f"called `reply`, but its result ({result or 'none'}) is not given that way")
        raw = returned
    else:
        if not guest.replies:
            raise BadReply(f"returned without calling `reply`; its result is {result}")
        if guest.reply is None:
            raise BadReply(f"its reply is larger than the limit of {guest.limits.reply:,} bytes")
        raw = guest.reply
    try:
        return signature.lift_result(raw, max_size=guest.limits.reply)
    except InvalidValue as error:
        raise BadReply(f"its result is not of the declared type: {error}") from error
