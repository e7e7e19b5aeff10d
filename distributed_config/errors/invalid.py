"""Requests that cannot be understood, or that break a rule."""

from collections.abc import Sequence
from typing import TypeVar

from distributed_config.errors.base import DistconfError, Problem

# Beyond this many a person reads none of them, and the response would grow with the document.
_MOST_PROBLEMS = 100

# typing.Self would say it shorter, but the client still runs on Python 3.10.
InvalidT = TypeVar("InvalidT", bound="Invalid")


class Invalid(DistconfError):
    """``problems`` lists every fault that was found, each with its place."""

    code = "invalid"

    @classmethod
    def from_problems(cls: type[InvalidT], problems: Sequence[Problem]) -> InvalidT:
        """Return one error for all ``problems``, of which there is at least one.

        Its detail is the first problem with its place, and how many more there are; it lists the
        first 100.
        """
        place = problems[0].parameter or problems[0].pointer
        return cls(_summary(place, problems), problems[:_MOST_PROBLEMS])


def _summary(place: str, problems: Sequence[Problem]) -> str:
    where = f"{place}: " if place else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}{problems[0].message}{more}"


class InvalidDocument(Invalid):
    code = "invalid-document"


class NotConforming(InvalidDocument):
    """``subject`` begins the detail, as "The document" or "Version 3"."""

    code = "not-conforming"

    def __init__(
        self, definition: str, number: int, problems: Sequence[Problem], subject: str
    ) -> None:
        super().__init__(
            f"{subject} does not conform to the definition {definition!r}, revision {number}. "
            f"{_summary(problems[0].pointer, problems)}",
            problems[:_MOST_PROBLEMS],
        )


class UnsupportedMediaType(Invalid):
    code = "unsupported-media-type"


class ServiceExists(Invalid):
    code = "service-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The service {name!r} exists already. "
            "Use PATCH to add a version, or PUT to create or update in one step."
        )


class AccountExists(Invalid):
    """``what`` is "user", "member", "role" or "organisation"."""

    code = "account-exists"

    def __init__(self, what: str, name: str) -> None:
        message = f"The {what} {name!r} exists already. Change that one, or choose another name."
        super().__init__(message, [Problem("", message, "exists")])


class DefinitionExists(Invalid):
    code = "definition-exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"The definition {name!r} exists already. Use PUT to revise it.")


class EnvironmentExists(Invalid):
    code = "environment-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The environment {name!r} exists already. Change that one, or choose another name.",
            [Problem("/name", "It exists already.", "exists")],
        )


class BreaksOthers(InvalidDocument):
    """``places`` are the resolved documents that would break, each as a service in an environment.

    ``problems`` are those of all of them, each with its place, and a pointer into it. Of ``unseen``
    others the actor may know no more than how many they are.
    """

    code = "breaks-others"

    def __init__(
        self, places: Sequence[str], problems: Sequence[tuple[str, Problem]], unseen: int = 0
    ) -> None:
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        named = [", ".join(places[:3]) + more] if places else []
        if unseen:
            many = f"{unseen} resolved documents" if unseen > 1 else "a resolved document"
            named.append(f"{many} that you may not see")
        first = ""
        if problems:
            _, problem = problems[0]
            where = f"{problem.pointer}: " if problem.pointer else ""
            first = f"{where}{problem.message} "
        super().__init__(
            f"Nothing was written: it would break {', and '.join(named)}. "
            f"{first}Change that first, or together with this in one changeset.",
            [
                Problem(problem.pointer, f"In {place}: {problem.message}", problem.rule)
                for place, problem in problems[:_MOST_PROBLEMS]
            ],
        )


class BreakingRevision(Invalid):
    """``why`` is the reason alone; ``detail`` says what to do about it, and how to force it."""

    code = "breaking-revision"

    def __init__(self, why: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"Nothing was changed: {why}. Change the documents or the schema, "
            "or force it (force=true, or --force), with a note that says why.",
            problems[:_MOST_PROBLEMS],
        )
        self.why = why


class KeyReused(Invalid):
    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for a different request. Use a new key for each write."
        )


class TooMuchWork(Invalid):
    code = "too-much-work"
    limit = "DISTCONF_LOCK_WORK_MS"

    def __init__(self, milliseconds: int) -> None:
        super().__init__(
            f"Nothing was written: this write takes longer than {self.limit} ({milliseconds}) "
            "allows, and every other writer would wait for it. Send it in smaller parts, or have "
            "the operator do it with `distconf` on the server, where there is no such limit."
        )
