"""Natural values: which type a class stands for, the way to plain values and back, and what is said about the rest."""

import dataclasses
import enum
import math
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, NewType, Optional, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.bus import ron
from desk.bus.types import ANY, CHAR, F32, JSON, STRING, U8, EnumOf, InvalidValue, Named, Record, Type, parse_type
from desk.bus.types.natural import Natural


def read(text: str) -> Type:
    """The type written as `text`."""
    return parse_type(ron.parse(text))


class Unit(enum.Enum):
    """Members whose names are not their texts."""

    CELSIUS = "C"
    FAHRENHEIT = "F"


class Mood(enum.StrEnum):
    """Members that are texts themselves."""

    GLAD = "glad"
    SAD = "sad"


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@dataclass
class Circle:
    center: Point
    radius: Annotated[float, F32]


@dataclass
class HTTPError:
    code: Annotated[int, U8]


@dataclass(frozen=True)
class Empty:
    pass


class Station(msgspec.Struct):
    """A real struct of msgspec."""

    name: str
    at: Point
    tags: list[str] = []


@dataclass
class Everything:
    truth: bool
    number: int
    real: float
    text: str
    data: bytes
    letter: Annotated[str, CHAR]
    small: Annotated[int, U8]
    numbers: list[int]
    points: list[Point]
    pair: tuple[str, Point]
    plain_pair: tuple[str, int]
    unit: Unit
    mood: Mood | None
    word: Literal["a", "b"]
    shape: Circle | HTTPError | Empty
    perhaps: Optional[Union[Circle, Empty]]  # noqa: UP007, UP045 - as older code writes it
    shapes: list[Circle | Empty]
    station: Station
    json: Annotated[object, JSON] = None
    note: str | None = None


EVERYTHING = Natural(Everything)


def test_a_class_stands_for_the_type_that_its_annotations_say() -> None:
    """Every kind of annotation has its type, in the order of the fields."""
    point, circle = "(x: f64, y: f64)", "(center: (x: f64, y: f64), radius: f32)"
    assert EVERYTHING.type == read(
        f"""(
            truth: bool, number: i64, real: f64, text: string, data: bytes, letter: char, small: u8,
            numbers: list(i64), points: list({point}), pair: tuple(string, {point}), plain_pair: tuple(string, i64),
            unit: enum(C, F), mood: option(enum(glad, sad)), word: enum(a, b),
            shape: variant(circle: {circle}, http_error: (code: u8), empty: ()),
            perhaps: option(variant(circle: {circle}, empty: ())),
            shapes: list(variant(circle: {circle}, empty: ())),
            station: (name: string, at: {point}, tags: list(string)),
            json: json, note: option(string),
        )"""
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.integers(-(1 << 63), (1 << 63) - 1)
reals = st.floats(allow_nan=False)
points = st.builds(Point, reals, reals)
circles = st.builds(Circle, points, st.floats(width=32, allow_nan=False))
everything = st.builds(
    Everything,
    truth=st.booleans(),
    number=numbers,
    real=reals,
    text=texts,
    data=st.binary(max_size=5),
    letter=st.characters(exclude_categories=["Cs"]),
    small=st.integers(0, 255),
    numbers=st.lists(numbers, max_size=3),
    points=st.lists(points, max_size=3),
    pair=st.tuples(texts, points),
    plain_pair=st.tuples(texts, numbers),
    unit=st.sampled_from(Unit),
    mood=st.none() | st.sampled_from(Mood),
    word=st.sampled_from(["a", "b"]),
    shape=circles | st.builds(HTTPError, st.integers(0, 255)) | st.builds(Empty),
    perhaps=st.none() | circles | st.builds(Empty),
    shapes=st.lists(circles | st.builds(Empty), max_size=3),
    station=st.builds(Station, texts, points, st.lists(texts, max_size=2)),
    json=st.none() | numbers | st.lists(texts, max_size=2),
    note=st.none() | texts,
)


@given(everything)
def test_instances_come_back_from_plain_values_and_from_messages(instance: Everything) -> None:
    """Plain and back is the same instance; the plain value is of the type, and comes back from a message, too."""
    plain = EVERYTHING.to_plain(instance)
    assert EVERYTHING.from_plain(plain) == instance
    raw = EVERYTHING.type.lower(plain)
    assert EVERYTHING.from_plain(EVERYTHING.type.lift(raw)) == instance


def test_a_plain_value_is_what_the_type_takes() -> None:
    """Nothing of the app's classes is left in it, and nothing is changed in the instance."""
    circle = Circle(Point(0.0, 1.0), 2.0)
    plain = Natural(Circle).to_plain(circle)
    assert plain == {"center": {"x": 0.0, "y": 1.0}, "radius": 2.0}
    assert circle == Circle(Point(0.0, 1.0), 2.0)
    assert Natural(Circle).from_plain(plain) == circle
    assert plain["center"] == {"x": 0.0, "y": 1.0}


def test_an_option_that_a_message_leaves_out_is_none() -> None:
    """A message may leave out fields of option types: they are None, whatever the class has as default."""

    @dataclass
    class Note:
        text: str
        author: str | None = "anonymous"

    natural = Natural(Note)
    assert natural.from_plain(natural.type.lift(natural.type.lower({"text": "x"}))) == Note("x", None)


# With a type that somebody else declared.


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (Point, "(y: f32, x: f64(0.0..=1.0))"),
        (HTTPError, "(code: u8)"),
        (Circle, "(radius: f32, center: (y: f64, x: f64))"),
        (Station, "(tags: list(string, 1..=3), name: string(1..=80), at: (x: f64, y: f64))"),
    ],
)
def test_a_class_fits_a_type_of_the_same_fields(cls: type[Any], text: str) -> None:
    """The order of fields does not matter, nor does what the type demands beyond the class."""
    assert Natural(cls, read(text)).type == read(text)


def test_the_declared_type_is_kept() -> None:
    """With its names and bounds, so that messages are checked as declared; also inside of Annotated."""
    point = Named("point", read("(x: f64, y: f64(0.0..))"))
    natural = Natural(Circle, Record((("center", point), ("radius", F32))))
    assert str(natural.type) == "(center: point, radius: f32)"
    assert natural.from_plain({"center": {"x": 1.0, "y": 2.0}, "radius": 3.0}) == Circle(Point(1.0, 2.0), 3.0)

    @dataclass
    class Marked:
        at: Annotated[Point, point]
        letter: str
        mood: str
        rest: object

    given = Record((("at", point), ("letter", CHAR), ("mood", EnumOf(("glad",))), ("rest", STRING)))
    assert Natural(Marked, given).type == given


def test_a_result_is_a_union_of_two_classes() -> None:
    """Classes called `Ok` and `Error` stand for the cases of `result(T, E)`."""

    @dataclass
    class Ok:
        size: int

    @dataclass
    class Error:
        pass

    declared = read("(what: result((size: i64), ()))")
    outcome = dataclasses.make_dataclass("Outcome", [("what", Ok | Error)])
    natural = Natural(outcome, declared)
    for what, plain in ((Ok(3), {"ok": {"size": 3}}), (Error(), "error")):
        assert natural.to_plain(outcome(what)) == {"what": plain}
        assert natural.from_plain({"what": plain}) == outcome(what)


@pytest.mark.parametrize(
    ("cls", "text", "message"),
    [
        (Point, "(x: f64)", "Point: Point should not have the field 'y', to fit (x: f64)"),
        (Point, "(x: f64, y: f64, z: f64)", "Point: Point lacks the field 'z', to fit (x: f64, y: f64, z: f64)"),
        (Point, "(x: f64, y: i64)", "Point.y: float does not fit i64"),
        (Point, "list(f64)", "Point: Point does not fit list(f64)"),
        (HTTPError, "(code: u16)", "HTTPError.code: u8 does not fit u16"),
        (Circle, "(radius: f32, center: (x: f64, y: option(f64)))", "Circle.center.y: float does not fit option(f64)"),
        (
            Station,
            "(name: string, at: tuple(f64, f64), tags: list(string))",
            "Station.at: Point does not fit tuple(f64, f64)",
        ),
        (Station, "(name: string, at: (x: f64, y: f64), tags: string)", "Station.tags: list[str] does not fit string"),
        (Station, "(name: string, at: (x: f64, y: f64), tags: list(bytes))", "Station.tags: str does not fit bytes"),
    ],
)
def test_a_class_that_does_not_fit_is_refused(cls: type[Any], text: str, message: str) -> None:
    """The error names the field, and both sides."""
    with pytest.raises(TypeError) as caught:
        Natural(cls, read(text))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (Unit, "enum(C)", "Bad.it: Unit does not fit enum(C)"),
        (Literal["a"], "string", "Bad.it: typing.Literal['a'] does not fit string"),
        (tuple[int, int], "tuple(i64)", "Bad.it: tuple[int, int] does not fit tuple(i64)"),
        (int | None, "i64", "Bad.it: int | None does not fit i64"),
        (Point | Empty, "variant(point: (x: f64, y: f64))", "does not fit variant(point: (x: f64, y: f64))"),
        (Point | Empty, "variant(point: (), empty: ())", "Bad.it.point: Point does not fit ()"),
        (Point | Empty, "variant(point: (x: f64, y: f64), empty: i8)", "Bad.it.empty: Empty does not fit i8"),
    ],
)
def test_an_annotation_that_does_not_fit_is_refused(annotation: object, text: str, message: str) -> None:
    """An enum, a literal or a union has the very names of the declared type; a tuple as many parts."""
    bad = dataclasses.make_dataclass("Bad", [("it", annotation)])
    with pytest.raises(TypeError) as caught:
        Natural(bad, Record((("it", read(text)),)))
    assert message in str(caught.value)


# Classes that have no type.


class Number(enum.Enum):
    """Its values are no texts."""

    ONE = 1


class Odd(enum.Enum):
    """Its value is no name."""

    TWO_WORDS = "two words"


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (dict[str, int], "Bad.it: dict[str, int] has no type; write a dataclass, or Annotated[object, JSON]"),
        (list, "Bad.it: list has no type; write list[T]"),
        (set[int], "Bad.it: set[int] has no type; write list[T]"),
        (tuple[int, ...], "Bad.it: tuple[int, ...] has no type; write tuple[T, U], or list[T] for any number"),
        (datetime, "Bad.it: datetime has no type; write str or float"),
        (NewType("Meters", int), "write bool, int, float, str, bytes, list[T]"),
        (None, "Bad.it: NoneType has no type; write"),
        (list[dict[str, str]], "Bad.it: dict[str, str] has no type"),
        (int | str, "Bad.it: int | str has no type: a union is of dataclasses or structs, and None"),
        (Number, "Bad.it: Number has no type: its values should be texts, every one"),
        (Odd, "Bad.it: Odd has no type: 'two words' (string) is no enum name"),
        (Literal["a", 1], "Bad.it: typing.Literal['a', 1] has no type: its values should be texts"),
        (Empty, "Bad.it: Empty has no type: a record type needs at least one field"),
        (list["Missing"], "Bad: name 'Missing' is not defined; an annotation can name what its module has"),  # type: ignore[name-defined] # noqa: F821
        (Annotated[float, U8], "Bad.it: float does not fit u8"),
    ],
)
def test_a_field_without_a_type_is_refused(annotation: object, message: str) -> None:
    """The error names the field and its annotation, and says what to write."""
    bad = dataclasses.make_dataclass("Bad", [("it", annotation)])
    with pytest.raises(TypeError) as caught:
        Natural(bad)
    assert message in str(caught.value)


@dataclass
class Tree:
    """It is inside of itself."""

    branches: "list[Tree]"


def test_classes_that_cannot_be_messages_are_refused() -> None:
    """No fields, one inside of itself, one whose constructor takes something else, and two cases called alike."""

    @dataclass
    class Derived:
        x: int
        twice: int = field(init=False)

    @dataclass
    class Asking:
        x: int
        other: InitVar[int]

    class Bare:
        __struct_fields__ = ("x",)

        def __init__(self, x: int) -> None:
            self.x = x

    with pytest.raises(TypeError, match="int is no dataclass and no struct"):
        Natural(int)
    with pytest.raises(TypeError, match=r"Tree.branches: Tree is inside of itself"):
        Natural(Tree)
    with pytest.raises(TypeError, match=r"the constructor of Derived should take its fields by name: .*twice"):
        Natural(Derived)
    with pytest.raises(TypeError, match=r"the constructor of Asking should take its fields by name: .*other"):
        Natural(Asking)
    with pytest.raises(TypeError, match=r"Bare.x: no annotation"):
        Natural(Bare)
    alike = dataclasses.make_dataclass("httpError", [("code", int)])
    with pytest.raises(TypeError, match="two of its classes are called alike"):
        Natural(dataclasses.make_dataclass("Bad", [("it", alike | HTTPError)]))


def test_a_struct_needs_no_msgspec() -> None:
    """Any class that names its fields in `__struct_fields__`, annotates them and takes them by name is a struct."""

    class Pair:
        __struct_fields__ = ("left", "right")
        left: int
        right: str

        def __init__(self, left: int, right: str) -> None:
            self.left, self.right = left, right

    natural = Natural(Pair)
    assert natural.to_plain(Pair(1, "b")) == {"left": 1, "right": "b"}
    assert natural.from_plain({"left": 1, "right": "b"}).right == "b"


# Objects that are not what was declared.


class SubPoint(Point):
    """It may mean something else."""


GOOD = Everything(
    *(True, 1, 2.0, "", b"", "x", 3, [], [], ("", Point(0.0, 0.0)), ("", 0)),
    *(Unit.CELSIUS, None, "a", Empty(), None, [], Station("", Point(0.0, 0.0))),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "C"}, "event.unit: expected Unit, got 'C' (string)"),
        ({"mood": "glad"}, "event.mood: expected Mood, got 'glad' (string)"),
        ({"points": [Point(0.0, 0.0), None]}, "event.points[1]: expected Point, got none"),
        ({"points": 5}, "event.points: expected list((x: f64, y: f64)), got 5 (integer)"),
        ({"pair": ("", SubPoint(0.0, 0.0))}, "event.pair[1]: expected Point, got a value of type SubPoint"),
        ({"pair": ("",)}, "event.pair: expected tuple(string, (x: f64, y: f64)), got a tuple of 1"),
        ({"shape": Circle(None, 1.0)}, "event.shape.circle.center: expected Point, got none"),  # type: ignore[arg-type]
        ({"perhaps": HTTPError(1)}, "got a value of type HTTPError"),
        ({"station": {"name": ""}}, "event.station: expected Station, got a map of 1"),
    ],
)
def test_an_object_of_another_class_is_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    """Going out: what should be an instance, and is none of its very class."""
    with pytest.raises(InvalidValue) as caught:
        EVERYTHING.to_plain(dataclasses.replace(GOOD, **changes), "event")
    assert message in str(caught.value)


def test_parts_that_stay_as_they_are_are_looked_at_by_the_type() -> None:
    """A text in place of a number goes through `to_plain`, and `lower` refuses it."""
    natural = Natural(HTTPError)
    plain = natural.to_plain(HTTPError("500"))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=r"value.code: expected u8"):
        natural.type.lower(plain)


def test_an_instance_without_a_field_is_refused() -> None:
    """One that was not made by its constructor lacks what the constructor sets."""
    with pytest.raises(InvalidValue, match=r"value.code: expected a field of HTTPError, got nothing"):
        Natural(HTTPError).to_plain(object.__new__(HTTPError))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "K"}, "event.unit: expected Unit, got 'K' (string)"),
        ({"unit": ["C"]}, "event.unit: expected Unit, got a list of 1"),
        ({"shape": "circle"}, "event.shape: expected variant(circle"),
        ({"shape": {"empty": None}}, "event.shape: expected variant(circle"),
        ({"shape": {"circle": {}, "empty": None}}, "got a map of 2"),
        ({"shape": {"circle": {"radius": 1.0}}}, "event.shape.circle.center: expected a field, got nothing"),
        ({"station": {"name": ""}}, "event.station.at: expected a field, got nothing"),
        ({"station": None}, "event.station: expected Station, got none"),
        ({"other": 1}, "event: expected fields of Everything, got what it refuses"),
    ],
)
def test_a_plain_value_of_another_type_is_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    """Coming in: what no message of the type can be."""
    with pytest.raises(InvalidValue) as caught:
        EVERYTHING.from_plain(EVERYTHING.to_plain(GOOD) | changes, "event")
    assert message in str(caught.value)


def test_a_class_may_have_rules_of_its_own() -> None:
    """What a constructor refuses is an invalid value, with the reason."""

    @dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    with pytest.raises(InvalidValue, match="value: expected fields of Even, got what it refuses: 3 is odd") as caught:
        Natural(Even).from_plain({"number": 3})
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_constructor_that_runs_into_an_error_refuses_its_fields() -> None:
    """Whatever it raises, over the fields or over there being none: a stranger's value ends nothing but itself."""

    @dataclass
    class Coin:
        side: int

        def __post_init__(self) -> None:
            _ = {1: "heads", 2: "tails"}[self.side]

    @dataclass
    class Edge:
        def __post_init__(self) -> None:
            raise ValueError("never")

    with pytest.raises(InvalidValue, match="value: expected fields of Coin") as caught:
        Natural(Coin).from_plain({"side": 3})
    assert isinstance(caught.value.__cause__, KeyError)

    toss = dataclasses.make_dataclass("Toss", [("result", Coin | Edge)])
    with pytest.raises(InvalidValue, match=r"value\.result: expected fields of Edge, got what it refuses: never"):
        Natural(toss).from_plain({"result": "edge"})


def test_any_takes_what_a_class_calls_object() -> None:
    """`object` without a type is `any`."""
    assert Natural(dataclasses.make_dataclass("Loose", [("it", object)])).type == Record((("it", ANY),))


def test_floats_stay_what_they_are() -> None:
    """NaN and a negative zero go through unchanged."""
    back = Natural(Point).from_plain(Natural(Point).to_plain(Point(math.nan, -0.0)))
    assert math.isnan(back.x)
    assert math.copysign(1.0, back.y) == -1.0
