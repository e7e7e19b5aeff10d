"""Errors in the words of Tartarus, and a way to find all mistakes of a request at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from distributed_config import errors
from distributed_config.dialects.base import Failure
from distributed_config.errors import DistconfError, Problem
from distributed_config.http.problems import status_of

REQUIRED = "Field required"


@dataclass(frozen=True)
class Mistake:
    """One mistake in a request: where it is, and what is wrong.

    ``place`` begins with ``body`` or ``query``. The ``kind`` is ``value_error``; or ``missing`` or
    ``type_error``, which are FastAPI's own.
    """

    place: tuple[str, ...]
    message: str
    kind: str = "value_error"

    def render(self) -> dict[str, Any]:
        """Return the mistake as FastAPI writes it."""
        return {"type": self.kind, "loc": list(self.place), "msg": self.message}


class RequestInvalid(DistconfError):
    """The request has these mistakes.

    A field that is missing, or of another type, has FastAPI's form of an error, and everything
    else the dialect's own. One response has one form: FastAPI's as soon as there is such a field.
    """

    def __init__(self, *mistakes: Mistake) -> None:
        # Several checks can come upon the same mistake.
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__(" ".join(mistake.message for mistake in self.mistakes))

    def to_failure(self) -> Failure:
        """Return the response's body and status."""
        if all(mistake.kind == "value_error" for mistake in self.mistakes):
            messages = (
                f"Invalid {mistake.place[1].capitalize()}! {mistake.message}"
                for mistake in self.mistakes
            )
            return failure(422, "validation_error", *messages)
        return Failure(422, {"detail": [mistake.render() for mistake in self.mistakes]})


class MistakeCollector:
    """Collects the mistakes of several checks, so that a client learns all of them at once.

    Each ``with collector:`` is one check, and keeps the RequestInvalid that it ends with;
    ``raise_all`` raises them as one.
    """

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, RequestInvalid):
            return False
        self.mistakes += error.mistakes
        return True

    def raise_all(self) -> None:
        """Raise RequestInvalid if there was a mistake."""
        if self.mistakes:
            raise RequestInvalid(*self.mistakes)


def failure(status: int, kind: str, *messages: str) -> Failure:
    """Return an error in the dialect's own form: a ``kind`` and a message for each."""
    body = {
        "status": "FAILURE",
        "errors": [{"type": kind, "msg": message} for message in messages],
    }
    return Failure(status, body, " ".join(messages))


def wrong_field(where: str, name: str, message: str) -> RequestInvalid:
    """Return the error of a field that is missing, or of another type."""
    kind = "missing" if message == REQUIRED else "type_error"
    return RequestInvalid(Mistake((where, name), message, kind))


def invalid(field: str, *reasons: str, where: str = "body") -> RequestInvalid:
    """Return the error of a field whose value is refused, for each of ``reasons``."""
    return RequestInvalid(*(Mistake((where, field), reason) for reason in reasons))


def invalid_parameter(name: str, reason: str) -> RequestInvalid:
    """Return the error of a parameter of the query whose value is refused."""
    return invalid(name, reason, where="query")


def definition_missing(key: str) -> Failure:
    """Return the error for a definition that does not exist."""
    return failure(404, "not_found_error", f"Definition not found with '{key}'!")


def config_missing(key: str) -> Failure:
    """Return the error for a configuration that does not exist."""
    return failure(404, "not_found_error", f"Configuration not found with '{key}'!")


def render_error(error: DistconfError) -> Failure:
    """Return an error of the domain in the dialect's words."""
    if isinstance(error, RequestInvalid):
        return error.to_failure()
    status = status_of(error)
    if isinstance(error, errors.Unauthenticated):
        return failure(status, "unauthorized_error", "Please provide a valid API key.")
    kind = "validation_error" if status < 500 else "server_error"
    if isinstance(error, errors.PreconditionFailed):
        kind = "conflict_error"
    if isinstance(error, errors.EnvironmentNotFound):
        kind = "not_found_error"
    return failure(status, kind, *(reasons(error.problems) or [error.detail]))


def reasons(problems: Sequence[Problem]) -> list[str]:
    """Return each problem as a sentence that says where it is: the dialect has no pointers."""
    places = ((problem, problem.parameter or problem.pointer) for problem in problems)
    return [f"{place}: {each.message}" if place else each.message for each, place in places]
