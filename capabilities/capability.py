"""A capability of one's own: a class that says which permissions there are, and what may be done with them.

    class Notes(Capability):
        name = "notes"                                # permissions `notes: ["read:shopping"]`, requests to cap.notes.find

        def covers(self, mine: str, wanted: str) -> bool:
            return mine == wanted or mine == "read:*"

        @operation(needs="read:{topic}")
        async def find(self, topic: str, most: int = 10) -> list[str]:
            return await database.notes(topic, most)

`Host(capabilities=[Notes()])` makes it known: manifests may ask for it, operators grant it, and a request is checked against
types, grants and policy before `find` is called. The types are those of the annotations (`desk.bus.types.natural`), and what
has a default may be left out. An operation raises `CapabilityError` for what the guest is to be told.

`needs` is the permission that a request takes, a template or a function of the request. It must name the very object that the
operation uses. A parameter `use` gets the `Use`: who asks.
"""

import inspect
import string
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast, get_type_hints

from desk.bus.types import ANY, EnumOf, Integer, InvalidValue, OptionOf, Record, String, Type
from desk.bus.types.annotations import Way, way
from desk.capabilities.at_once import apart
from desk.capabilities.atoms import Atom
from desk.capabilities.provider import DENIAL, Provider, Use
from desk.capabilities.syntax import PermissionSyntaxError, check_text
from desk.capabilities.vocabulary import STANDARD, Vocabulary

Needs = Callable[[Any, Mapping[str, Any], Use], Iterable[Atom]]
"""Which permissions a request takes: given the capability, the request and its use. Raises as `Provider.needs` does."""

_MARK = "__desk_operation__"
_USE = "use"
_F = TypeVar("_F", bound=Callable[..., Any])


def operation(*, needs: str | Needs | None, denied: object = DENIAL, at_once: bool = False) -> Callable[[_F], _F]:
    """Make a method an operation, `cap.CAPABILITY.METHOD`. `needs` None: it is anybody's, without a permission.

    With `denied`, a guest that lacks the permission is answered that, a value of the result's type, and is not told: for what
    must not be told apart from nothing.

    A method that is not async is answered at once. One that is, and rarely waits, may be so too, if it is marked `at_once`: it
    promises to say `await apart()` before it does wait (`desk.capabilities.at_once`).
    """

    def mark(method: _F) -> _F:
        setattr(method, _MARK, (needs, denied, at_once))
        return method

    return mark


class Capability:
    """See the module's docstring. Raises `TypeError` when it is made, if an operation has no types or no such `needs`."""

    name: ClassVar[str]
    """The section of its permissions, and the first word of its operations: `a-z`, digits and `_`."""

    def parse(self, text: str) -> Hashable:
        """Read one permission into a value that `covers` can compare; by default it is the text itself.

        Raises `PermissionSyntaxError` for what is none, so that a permission nobody checks cannot look granted.
        """
        return text

    def covers(self, mine: Any, wanted: Any) -> bool:
        """Say whether whoever holds the permission `mine` may do all that `wanted` permits; both were `parse`d.

        By default, only if they are equal. It must be transitive; that equal ones cover each other, it need not say.
        """
        return mine == wanted

    def permission(self, text: str) -> Atom:
        """The permission that a text of a manifest, a grant or `needs` stands for. Raises `PermissionSyntaxError`."""
        check_text(text)
        return _AppAtom(text, self.parse(text), self)

    def operations(self) -> tuple[Provider, ...]:
        """What guests may ask of it, one for each method that is an `operation`."""
        found: list[Provider] = []
        for name, method in inspect.getmembers(self, inspect.ismethod):
            if hasattr(method, _MARK):
                found.append(_Operation(self, name, method, *getattr(method, _MARK)))
        return tuple(found)


def vocabulary_with(capabilities: Iterable[Capability]) -> Vocabulary:
    """The standard sections of permissions, and those of an app. Raises `ValueError` for a name that is taken, or is none."""
    vocabulary = STANDARD
    for each in capabilities:
        vocabulary = vocabulary.extended({each.name: each.permission})
    return vocabulary


@dataclass(frozen=True, slots=True)
class _AppAtom(Atom):
    """One permission of a capability that is a class. It is what its `parse`d value is."""

    written: str = field(compare=False)
    value: Hashable
    capability: Capability

    @property
    def section(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] (one class for many capabilities)
        return self.capability.name

    @property
    def text(self) -> str:
        return self.written

    def covers(self, other: Atom) -> bool:
        # By name: a policy may have been read with another instance of the same class than the host has.
        if not isinstance(other, _AppAtom) or other.section != self.section:
            return False
        return self.value == other.value or self.capability.covers(self.value, other.value)


class _Operation:
    """One method as a provider: a record of its parameters goes in, what it returns comes out."""

    def __init__(
        self,
        capability: Capability,
        name: str,
        method: Callable[..., Any],
        needs: str | Needs | None,
        denied: object,
        at_once: bool,
    ) -> None:
        self.name = f"{capability.name}.{name}"
        self.denied = denied
        self.at_once = at_once or not inspect.iscoroutinefunction(method)
        self._says_apart = at_once
        self._capability = capability
        self._method = method
        where = f"{type(capability).__qualname__}.{name}"
        parameters, result = _ways(method, where)
        self._takes_use = _USE in inspect.signature(method).parameters
        self._parameters = parameters
        self._result = result
        # (There is no record without fields: what is sent to an operation without parameters is ignored.)
        self.request_type: Type = Record(tuple((each.name, each.type) for each in parameters)) if parameters else ANY
        self.response_type: Type = ANY if result is None else result.type
        self._needs = _template(needs, parameters, where) if isinstance(needs, str) else needs

    def __repr__(self) -> str:
        """Like `<operation notes.find(topic: string, most: option(i64)) -> list(string)>`."""
        return f"<operation {self.name}{self.request_type} -> {self.response_type}>"

    def needs(self, request: object, use: Use) -> tuple[Atom, ...]:
        """The permissions that it takes."""
        if self._needs is None:
            return ()
        return tuple(self._needs(self._capability, cast("Mapping[str, Any]", request), use))

    async def perform(self, request: object, use: Use) -> object:
        """Call the method, and await it if it is async."""
        given = cast("Mapping[str, Any]", request)
        arguments = {each.name: each.natural(given.get(each.name)) for each in self._parameters}
        if self._takes_use:
            arguments[_USE] = use
        result = self._method(**arguments)
        if inspect.isawaitable(result):
            if not self._says_apart:
                await apart()
            result = await cast("Awaitable[object]", result)
        outward = None if self._result is None else self._result.outward
        try:
            return result if outward is None else outward(result)
        except InvalidValue as error:  # the app's doing, and not for a guest to read
            raise RuntimeError(f"{self.name} returned what is not of its type") from error


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    way: Way
    default: object

    @property
    def type(self) -> Type:
        """What the request's record has for it: an option if it may be left out."""
        if self.default is inspect.Parameter.empty or isinstance(self.way.type.bare, OptionOf):
            return self.way.type
        return OptionOf(self.way.type)

    def natural(self, value: object) -> object:
        """The plain `value` as the method takes it; None if it was left out."""
        if value is None and self.default is not inspect.Parameter.empty:
            return self.default
        return value if self.way.inward is None else self.way.inward(value)


def _ways(method: Callable[..., Any], where: str) -> tuple[Sequence[_Parameter], Way | None]:
    hints = get_type_hints(method, include_extras=True)
    parameters: list[_Parameter] = []
    for each in inspect.signature(method).parameters.values():
        if each.name == _USE:
            continue
        if each.name not in hints or each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise TypeError(f"{where}: {each} needs an annotation, and must be a plain parameter: a request names it")
        parameters.append(_Parameter(each.name, way(hints[each.name], None, f"{where}({each.name})", ()), each.default))
    if "return" not in hints:
        raise TypeError(f"{where}: the result has no annotation; write `-> None` if there is none")
    back = hints["return"]
    return parameters, None if back is type(None) else way(back, None, f"{where} -> result", ())


def _template(text: str, parameters: Sequence[_Parameter], where: str) -> Needs:
    """The permission `text`, with the arguments of the request for the names in braces: numbers and texts only."""
    plain = {each.name for each in parameters if isinstance(each.type.bare, String | EnumOf | Integer)}
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is not None and (name not in plain or form or conversion):
            known = ", ".join(sorted(plain)) or "none"
            raise TypeError(f"{where}: needs={text!r} may name its required texts and whole numbers: {known}")

    def needs(capability: Capability, request: Mapping[str, Any], use: Use) -> tuple[Atom, ...]:
        del use
        try:
            return (capability.permission(text.format_map(request)),)
        except PermissionSyntaxError as error:
            error.section = capability.name
            raise

    return needs
