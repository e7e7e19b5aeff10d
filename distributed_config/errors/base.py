"""The root of the tree, and one problem of the many that an error can list."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One fault in a request.

    ``pointer`` is a JSON pointer (RFC 6901) into the body; "" is the whole of it. A fault in the
    query or the headers names its parameter or header in ``parameter`` instead. ``rule`` is the
    stable word for what was broken, for programs; "" if it has none. ``line`` and ``column``, from
    1, are where in the text of the body it is; 0 where that is not known.
    """

    pointer: str
    message: str
    rule: str = ""
    parameter: str = ""
    line: int = 0
    column: int = 0


class DistconfError(Exception):
    """The root of the tree. ``detail`` is one or two sentences for the person who has to act."""

    code = "internal-error"
    retry_after: float = 0
    """Seconds after which a new attempt makes sense; 0 if that is not known."""
    limit = ""
    """The setting whose limit was reached; "" if it was none."""
    members: Mapping[str, Any] = MappingProxyType({})
    """Further members of the problem that is answered (RFC 9457, section 3.2)."""

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)

    @staticmethod
    def from_code(code: str, detail: str, problems: Sequence[Problem] = ()) -> "DistconfError":
        """Return the error that a server answered with, as the class whose ``code`` it has.

        A code that this release does not know, as from a newer server, becomes a DistconfError.
        """
        kinds = _subclasses(DistconfError)
        kind = next((kind for kind in kinds if kind.code == code), DistconfError)
        # The classes have initialisers of their own, which write the detail; here it is written.
        error = kind.__new__(kind)
        DistconfError.__init__(error, detail, problems)
        return error


def _subclasses(kind: type[DistconfError]) -> Iterator[type[DistconfError]]:
    """``kind`` and everything below it in the tree, parents first."""
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)
