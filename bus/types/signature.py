"""The type of a whole function."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from desk.bus.codec import MAX_SIZE
from desk.bus.types.base import Flat, InvalidValue, Lowered, Raw, Type, TypeSyntaxError, describe


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives: `(i32, json) -> bool`, or `(i32)` for one that gives nothing."""

    params: tuple[Type, ...]
    names: tuple[str, ...] | None = None
    result: Type | None = None
    wasm_params: tuple[Flat, ...] = field(init=False, repr=False, compare=False)
    """The parameters as wasm has them; a payload is two i32, its handle and its length."""
    wasm_results: tuple[Flat, ...] = field(init=False, repr=False, compare=False)
    """The result as wasm has it; empty also for a payload, which a guest gives with `reply`."""
    _plan: tuple[tuple[Type, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.names is not None and len(self.names) != len(self.params):
            raise TypeSyntaxError(f"{len(self.names)} names for {len(self.params)} parameters")
        wasm_params: list[Flat] = []
        for param in self.params:
            wasm_params += (param.flat,) if param.flat else ("i32", "i32")
        flat = self.result.flat if self.result else None
        object.__setattr__(self, "wasm_params", tuple(wasm_params))
        object.__setattr__(self, "wasm_results", (flat,) if flat else ())
        paths = self.names or [f"params[{index}]" for index in range(len(self.params))]
        object.__setattr__(self, "_plan", tuple(zip(self.params, paths, strict=True)))

    def __str__(self) -> str:
        params = map(str, self.params)
        if self.names is not None:
            params = (f"{name}: {param}" for name, param in zip(self.names, params, strict=True))
        return f"({', '.join(params)})" + (f" -> {self.result}" if self.result else "")

    def lower_args(self, args: Sequence[object], *, max_size: int = MAX_SIZE) -> tuple[Lowered, ...]:
        """The arguments as a guest gets them, each payload at most `max_size` bytes. Raises `InvalidValue`."""
        if len(args) != len(self._plan):
            arguments = "1 argument" if len(self._plan) == 1 else f"{len(self._plan)} arguments"
            raise InvalidValue("params", f"{arguments} for {self}", str(len(args)))
        if len(args) == 1:  # the usual case, at half the cost
            param, path = self._plan[0]
            return (param.lower(args[0], path, max_size=max_size),)
        return tuple(
            [param.lower(arg, path, max_size=max_size) for (param, path), arg in zip(self._plan, args, strict=True)]
        )

    def lift_args(self, raw: Sequence[Raw], *, max_size: int = MAX_SIZE) -> list[object]:
        """The arguments in what `lower_args` gave. Raises `InvalidValue`."""
        if len(raw) == len(self._plan) == 1:  # the usual case, at half the cost
            param, path = self._plan[0]
            return [param.lift(raw[0], path, max_size=max_size)]
        return [param.lift(each, path, max_size=max_size) for (param, path), each in zip(self._plan, raw, strict=True)]

    def lower_result(self, value: object, *, max_size: int = MAX_SIZE) -> Lowered | None:
        """A result as a guest would give it; None, and from None only, if there is none. Raises `InvalidValue`."""
        if self.result is not None:
            return self.result.lower(value, "result", max_size=max_size)
        if value is not None:
            raise InvalidValue("result", "none", describe(value))
        return None

    def lift_result(self, raw: Raw | None, *, max_size: int = MAX_SIZE) -> object:
        """The result in what a guest gave; None, and from None only, if there is none. Raises `InvalidValue`."""
        if self.result is None:
            if raw is not None:
                raise InvalidValue("result", "none", describe(raw))
            return None
        if raw is None:
            raise InvalidValue("result", str(self.result), "none")
        return self.result.lift(raw, "result", max_size=max_size)
