"""Types with names: a manifest's own words, in any order, and the bombs that can be written with them."""

import copy
import pickle
import tracemalloc
from collections.abc import Callable, Mapping

import pytest

from desk.bus import ron
from desk.bus.types import (
    ANY,
    F64,
    I32,
    MAX_NAMES,
    MAX_TYPE_SIZE,
    STRING,
    InvalidValue,
    ListOf,
    Named,
    OptionOf,
    Record,
    ResultOf,
    Signature,
    TupleOf,
    Type,
    TypeSyntaxError,
    VariantOf,
    parse_type,
    parse_type_text,
    read_types,
)
from desk.bus.types.extent import MAX_HEIGHT

PLACE = Named("place", parse_type_text("(city: string, note: option(string))"))


def types(text: str) -> dict[str, Type]:
    """The types that a manifest with `types: text` defines."""
    node = ron.parse(text, limits=ron.RonLimits(size=10**7, nodes=10**6))
    assert isinstance(node, ron.Map)
    return read_types({key.value: value for key, value in node.entries if isinstance(key, ron.Str)})


def bomb(lines: int, of: str = "tuple({0}, {0})") -> str:
    """Types that each consist of two of the one before."""
    made = [f'"t{number}": {of.format(f"t{number - 1}")}' for number in range(1, lines)]
    return f'{{"t0": i32, {", ".join(made)}}}'


# A type under a name.


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (PLACE, {"city": "Bergen", "note": None}),
        (ListOf(PLACE), [{"city": "Bergen", "note": "wet"}] * 2),
        (Named("id", I32), 7),
        (Named("ids", ListOf(Named("id", I32))), [7, 8]),
        (Named("anything", ANY), {"a": [1]}),
        (Named("json-text", parse_type_text("json")), {"a": [1]}),
        (Named("text", STRING), "é"),
        (Named("maybe", OptionOf(I32)), None),
        (Named("shape", parse_type_text("variant(a: i32, b: ())")), "b"),
        (Named("alias", PLACE), {"city": "Bergen", "note": None}),
    ],
)
def test_it_acts_as_its_type(declared: Type, value: object) -> None:
    """A name changes nothing about what is taken, and how it crosses."""
    lowered = declared.lower(value)
    assert lowered == unnamed(declared).lower(value)
    assert declared.lift(lowered) == value
    declared.check(value)
    assert declared.flat == unnamed(declared).flat
    assert declared.depth == unnamed(declared).depth
    assert not isinstance(declared.bare, Named)


def unnamed(declared: Type) -> Type:
    """The type without names at the top and as the item of a list."""
    declared = declared.bare
    return ListOf(unnamed(declared.item)) if isinstance(declared, ListOf) else declared


def test_its_name_is_what_is_printed() -> None:
    """A name stands for its type in printed types and signatures; two are equal if both name and type are."""
    assert str(PLACE) == "place"
    assert str(ListOf(PLACE)) == "list(place)"
    assert str(Named("two-words", I32)) == "r#two-words"
    assert str(Signature((PLACE,), ("at",), ResultOf(PLACE, None))) == "(at: place) -> result(place, ())"
    assert PLACE.bare != PLACE
    assert Named("place", I32) != PLACE != Named("spot", PLACE.bare)
    assert Named("place", PLACE.bare) == PLACE
    assert copy.deepcopy(PLACE) == pickle.loads(pickle.dumps(PLACE)) == PLACE
    assert PLACE.parts() == (PLACE.bare,)
    assert (PLACE.size, PLACE.bare.size) == (5, 4)


def test_errors_are_those_of_its_type() -> None:
    """An error inside says what was wrong there; a missing field is named with the name of its type."""
    declared = Record((("at", PLACE), ("tmax", F64)))
    with pytest.raises(InvalidValue) as caught:
        declared.lower({"at": {"city": 5}, "tmax": 1.0})
    assert str(caught.value) == "value.at.city: expected string, got 5 (integer)"
    with pytest.raises(InvalidValue) as caught:
        declared.lower({"tmax": 1.0})
    assert str(caught.value) == "value.at: expected place, got nothing: the field is missing"


def test_an_option_stays_one_under_a_name() -> None:
    """A field may be missing if the name stands for an option, and an option of that name would be one of an option."""
    maybe = Named("maybe", Named("perhaps", OptionOf(I32)))
    declared = Record((("a", maybe),))
    assert declared.lift(declared.lower({})) == {"a": None}
    with pytest.raises(TypeSyntaxError, match="option of an option"):
        OptionOf(maybe)
    with pytest.raises(TypeSyntaxError, match="option of an option"):
        types('{"maybe": option(i32), "a": option(maybe)}')


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a b",
        "a.b",
        "é",
        "-a",
        "1a",
        "a" * 65,
        "i32",
        "list",
        "enum",
        "result",
        "true",
        "inf",
        "a\n",
        5,
        None,
        ["a"],
    ],
)
def test_what_is_no_name(name: str) -> None:
    """A name is lower case ASCII, not a word that means a type already, and not one that RON reads as something else."""
    with pytest.raises(TypeSyntaxError) as caught:
        Named(name, I32)
    assert len(str(caught.value)) < 200


# Reading `types`.


PLACES = ('"place": (city: string)', '"reading": (at: place, t: option(place))')


@pytest.mark.parametrize("lines", [PLACES, PLACES[::-1]])
def test_names_are_used_in_any_order(lines: tuple[str, str]) -> None:
    """A name may stand before its definition; the types come in the order they were written."""
    made = types(f"{{{', '.join(lines)}}}")
    place = Named("place", parse_type_text("(city: string)"))
    assert made == {"place": place, "reading": Named("reading", Record((("at", place), ("t", OptionOf(place)))))}
    assert [f'"{name}"' for name in made] == [line.partition(":")[0] for line in lines]
    assert parse_type(ron.parse("list(reading)"), made) == ListOf(made["reading"])


def test_names_stand_wherever_types_do() -> None:
    """In every type that is made of others, and not among the names of an enum or the fields of a record."""
    fields = "a: id, b: list(id, 1..=2), c: option(id), d: tuple(id, id), e: variant(x: id, y: ()), f: result(id, ()), g: color"
    made = types(f'{{"all": ({fields}), "red": color, "color": enum(red, id, all), "id": u8(1..)}}')
    assert str(made["all"].bare) == f"({fields})"
    assert str(made["color"].bare) == "enum(red, id, all)"
    assert made["red"].lower("all") == made["color"].lower("all")


def test_a_word_of_another_language_may_be_a_name() -> None:
    """`text` is no type of ours, so it can be one of the manifest's."""
    assert types('{"text": string(..=80), "map": list(text)}')["map"].lower(["a"]) == b"\x81aa"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"a":\n a}', 2, "type 'a' is made of itself (a -> a)"),
        ('{"a": list(b),\n "b": option(\na)}', 3, "type 'a' is made of itself (a -> b -> a)"),
        ('{"x": a,\n"a": (v: option(b)), "b": variant(n: (),\n c: c), "c": result((), a)}', 3, "(a -> b -> c -> a)"),
        ('{"a":\n (at: place), "plce": i32}', 2, "no type is called 'place' (did you mean 'plce'?)"),
        ('{"a": list(\nb), "c": i32}', 2, "no type is called 'b'"),
        ('{"a":\n int}', 2, "no type is called 'int'; write i32 or i64"),
        ('{"a":\n enum(b, b)}', 2, "enum 'b' is declared twice"),
        ('{"a": i32, "b":\n a(1..=2)}', 2, "a is a type by itself, without parentheses"),
        ('{"a":\n [i32]}', 2, "expected a type, got a list"),
        ('{"a": list(\nlist)}', 2, "list of what?"),
        ('{"i32":\n u8}', 2, "'i32' has a meaning already"),
        ('{"list":\n u8}', 2, "'list' has a meaning already"),
        ('{"A":\n u8}', 2, "is no type name; expected 1 to 64 of a-z 0-9 _ -"),
        ('{"":\n u8}', 2, "is no type name"),
    ],
)
def test_what_is_refused(text: str, line: int, words: str) -> None:
    """A type made of itself, an unknown word and a name that cannot be one are refused where they stand."""
    with pytest.raises(TypeSyntaxError) as caught:
        types(text)
    assert words in str(caught.value)
    assert caught.value.pos is not None
    assert caught.value.pos.line == line
    assert len(str(caught.value)) < 400


def test_the_number_of_names_is_bounded() -> None:
    """As many as that are read, also as one long chain in the worst order, and not one more."""
    most = ", ".join(f'"t{number}": i32' for number in range(MAX_NAMES))
    assert len(types(f"{{{most}}}")) == MAX_NAMES
    with pytest.raises(TypeSyntaxError, match="at most 256 types can be given names, got 257"):
        types(f'{{{most}, "more": i32}}')


def test_names_in_code_are_those_given() -> None:
    """`names` of `parse_type` may hold any types; words of the language come first."""
    names: Mapping[str, Type] = {"pair": TupleOf((I32, I32)), "i32": STRING}
    assert parse_type_text("list(pair)", names) == ListOf(TupleOf((I32, I32)))
    assert parse_type_text("i32", names) == I32
    with pytest.raises(TypeSyntaxError, match=r"no type is called 'pairs' \(did you mean 'pair'"):
        parse_type_text("pairs", names)


@pytest.mark.parametrize("text", ["", "list(", "i32 i32", "(a: i32, a: i32)", "\ud800", "list(" * 1000 + ")" * 1000])
def test_text_that_is_not_ron_is_no_type(text: str) -> None:
    """Whoever writes a type in code has one kind of error to handle."""
    with pytest.raises(TypeSyntaxError):
        parse_type_text(text)


# Bombs.


@pytest.mark.parametrize(
    "of",
    [
        "tuple({0}, {0})",
        "(a: {0}, b: {0})",
        "variant(a: {0}, b: {0})",
        "result({0}, {0})",
        "(a: list({0}), b: option({0}))",
    ],
)
def test_doubling_names_are_refused(of: str) -> None:
    """A type that is written in a few lines and has 2^200 parts is refused before it costs anything."""
    tracemalloc.start()
    try:
        with pytest.raises(TypeSyntaxError, match="more than"):
            types(bomb(200, of))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_largest_doubled_type_works() -> None:
    """Below the bound a type that shares its parts is a type like others: printed, compared, hashed and validated."""
    made = types(bomb(11))
    largest = made["t10"]
    assert largest.size <= MAX_TYPE_SIZE < 2 * largest.size
    value: object = 1
    for _ in range(10):
        value = (value, value)
    assert largest.lift(largest.lower(value)) == value
    again = types(bomb(11))["t10"]
    assert again == largest
    assert hash(again) == hash(largest)
    assert len(str(largest)) < 10


def test_wide_records_of_wide_records_are_refused() -> None:
    """The bound is on all parts together, each as often as it is used."""
    wide = "(" + ", ".join(f"f{number}: {{0}}" for number in range(64)) + ")"
    made = types(f'{{"row": {wide.format("i32")}, "table": (a: row, b: row)}}')
    assert made["table"].size == 2 + 2 * made["row"].size
    with pytest.raises(TypeSyntaxError, match="4,096 types and names"):
        types(f'{{"row": {wide.format("i32")}, "table": {wide.format("row")}}}')


WRAPS: list[Callable[[Type], Type]] = [
    lambda inner: Named("n", inner),
    ListOf,
    lambda inner: Named("n", ListOf(inner)),
    lambda inner: Named("n", TupleOf((OptionOf(Named("m", inner)), I32))),
    lambda inner: VariantOf((("a", inner),)),
    lambda inner: ResultOf(inner, None),
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_no_type_is_deep_enough_to_run_out_of_stack(wrap: Callable[[Type], Type]) -> None:
    """However types are put inside each other, also names in names, there is an end, and what is below it works."""
    declared: Type = I32
    for _ in range(MAX_HEIGHT):
        try:
            declared = wrap(declared)
        except TypeSyntaxError as error:
            assert "more than" in str(error)  # noqa: PT017 - the largest one that can be made is what follows
            break
    else:
        pytest.fail("there was no end")
    assert hash(declared) == hash(copy.deepcopy(declared))
    assert len(repr(declared)) < 100_000
    with pytest.raises(InvalidValue):
        declared.lower("wrong")


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_chain_of_names_is_refused_not_followed(backwards: bool) -> None:
    """Names for names for names end where types inside each other do, in whichever order they are written."""
    lines = ['"t0": i32', *(f'"t{number}": t{number - 1}' for number in range(1, MAX_NAMES))]
    for length, fits in ((MAX_HEIGHT, True), (MAX_NAMES, False)):
        chosen = lines[: length - 1] if fits else lines
        text = f"{{{', '.join(reversed(chosen) if backwards else chosen)}}}"
        if fits:
            assert types(text)[f"t{length - 2}"].lower(5) == 5
        else:
            with pytest.raises(TypeSyntaxError, match="more than 64 types inside each other"):
                types(text)


def test_a_circle_of_all_names_is_refused_in_few_words() -> None:
    """A circle is found however long it is, and shown as its first names."""
    lines = [f'"t{number}": list(t{(number + 1) % MAX_NAMES})' for number in range(MAX_NAMES)]
    with pytest.raises(TypeSyntaxError, match=r"\(t0 -> t1 -> t2 -> t3 -> … -> t0\)"):
        types(f"{{{', '.join(lines)}}}")


def test_nodes_made_in_code_are_bounded_too() -> None:
    """`parse_type` does not rely on the limits of the reader for its own stack."""
    node: ron.Node = ron.Ident("i32")
    for _ in range(100_000):
        node = ron.Tuple("list", (node,))
    with pytest.raises(TypeSyntaxError, match="more than 64"):
        parse_type(node)
    with pytest.raises(TypeSyntaxError, match="more than 64"):
        read_types({"a": node})
    while isinstance(node, ron.Tuple) and node.items:  # or freeing it would recurse
        node = node.items[0]


def test_many_uses_of_one_name_are_counted() -> None:
    """A type may use all names there can be, and none of them thousands of times."""
    names = [f"t{number}" for number in range(MAX_NAMES - 1)]
    defined = ", ".join(f'"{name}": i32' for name in names)
    assert types(f'{{"all": tuple({", ".join(names)}), {defined}}}')["all"].size == 2 + 2 * len(names)
    with pytest.raises(TypeSyntaxError, match="4,096"):
        types(f'{{"many": tuple({", ".join(names * 16)}), {defined}}}')
