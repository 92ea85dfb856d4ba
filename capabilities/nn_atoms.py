"""Permissions for neural networks: which models may be run, and on what.

    nn = "infer:" ( model | "*" ) [ "@" ( "cpu" | "gpu" ) ] ;       without a device: cpu; gpu includes cpu

A model's name is 1 to 128 letters, digits, `.`, `_` and `-`, not beginning with `.` or `-`; `*` is all models.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from desk.capabilities.atoms import Atom
from desk.capabilities.syntax import PermissionSyntaxError, check_text, found, shown, unknown_word

_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DEVICES = ("cpu", "gpu")  # each includes those before it
_ALL = "*"
_EXPECTED = "infer:MODEL, infer:MODEL@gpu or infer:* for all models"


@dataclass(frozen=True, slots=True)
class NnAtom(Atom):
    """The right to have one model, or all (`*`), compute on a device."""

    section: ClassVar[str] = "nn"

    model: str
    device: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the grammar above; raise `PermissionSyntaxError`."""
        check_text(text)
        verb, colon, rest = text.partition(":")
        if not colon:
            raise PermissionSyntaxError(f"no verb before {shown(text)}", _EXPECTED)
        if verb != "infer":
            raise unknown_word("verb", verb, ["infer"])
        model, at, device = rest.partition("@")
        return cls._checked(model, device if at else _DEVICES[0])

    @classmethod
    def infer(cls, model: str, device: str) -> Self:
        """A request to run one model on "cpu" or "gpu". Raises `PermissionSyntaxError`, as all requests do."""
        if model == _ALL:
            raise PermissionSyntaxError('cannot run "*"', "one model")
        return cls._checked(model, device)

    @classmethod
    def _checked(cls, model: str, device: str) -> Self:
        if type(model) is not str or (model != _ALL and _MODEL.fullmatch(model) is None):
            raise PermissionSyntaxError(f"bad model {found(model)}", _EXPECTED)
        if device not in _DEVICES:
            raise PermissionSyntaxError(f"unknown device {found(device)}", " or ".join(_DEVICES))
        return cls(model, device)

    @property
    def served(self) -> bool:
        return False

    @property
    def text(self) -> str:
        return f"infer:{self.model}@{self.device}"

    def covers(self, other: Atom) -> bool:
        return self.near(other) and isinstance(other, NnAtom) and self.device >= other.device

    def near(self, other: Atom) -> bool:
        return isinstance(other, NnAtom) and self.model in (_ALL, other.model)

    def meet(self, other: Atom) -> Atom | None:
        if not isinstance(other, NnAtom) or not (self.near(other) or other.near(self)):
            return None
        return NnAtom(other.model if self.model == _ALL else self.model, min(self.device, other.device))
