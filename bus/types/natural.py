"""Natural values: instances of an app's own classes in place of the dicts and words that messages are made of.

    @dataclass
    class Reading:
        city: str
        tmax: Annotated[float, F32]
        unit: Literal["C", "F"] = "C"
        note: str | None = None

    natural = Natural(Reading)
    natural.type                     (city: string, tmax: f32, unit: enum(C, F), note: option(string))
    natural.to_plain(reading)        {"city": "Bergen", "tmax": 11.5, "unit": "C", "note": None}
    natural.from_plain(value)        Reading(city="Bergen", tmax=11.5, unit="C", note=None)

    annotation                       type
    bool  int  float  str  bytes     bool  i64  f64  string  bytes
    list[T]  tuple[T, U]  T | None   list(T)  tuple(T, U)  option(T)
    Literal["a", "b"]                enum(a, b)
    an Enum of texts                 enum of the texts
    a dataclass, or a class with     record of its fields
      `__struct_fields__` (msgspec)
    a union of such classes          variant with a case for each, called as the class in snake case; a class without
                                     fields is a case that holds nothing
    object                           any
    Annotated[T, a type]             that type, if T can hold its values; `object` can hold those of every type

What the annotations mean is found out once, when a `Natural` is made. What is left is small functions, and nothing at all for
parts that are the same in a message: these are neither copied nor looked at. `type.lower` looks at them.
"""

from typing import Generic, TypeVar, cast

from desk.bus.types.annotations import has_fields, shown, way
from desk.bus.types.base import InvalidValue, Type
from desk.bus.types.conversions import Conversion

T = TypeVar("T")


class Natural(Generic[T]):
    """The way between instances of `cls`, a class with annotated fields, and the plain values of a type.

    Without `type`, the annotations say the type. With it, as it was declared elsewhere, they must fit it: fields of the same
    names, in any order, each able to hold what the type sends. Raises `TypeError`, with the field and what to write, if a
    field has no type or does not fit.
    """

    def __init__(self, cls: type[T], type: Type | None = None) -> None:
        if not has_fields(cls):
            raise TypeError(f"{shown(cls)} is no dataclass and no struct; what stands for a message has named fields")
        found = way(cls, type, shown(cls), ())
        self.cls = cls
        self.type = found.type
        """The type of the messages that instances stand for."""
        self._outward = cast("Conversion", found.outward)
        self._inward = cast("Conversion", found.inward)

    def __repr__(self) -> str:
        return f"<Natural {shown(self.cls)}: {self.type}>"

    def to_plain(self, obj: T, path: str = "value") -> dict[str, object]:
        """`obj` as `type.lower` takes it. Raises `InvalidValue` if it or an object in it is of another class than declared."""
        try:
            return cast("dict[str, object]", self._outward(obj))
        except InvalidValue as error:
            error.path = path + error.path
            raise

    def from_plain(self, value: object, path: str = "value") -> T:
        """The instance that `value`, which `type.lift` gave, stands for.

        Raises `InvalidValue` if a class refuses its fields with a `ValueError` or `TypeError`, or `value` is of another type.
        """
        try:
            return cast("T", self._inward(value))
        except InvalidValue as error:
            error.path = path + error.path
            raise
