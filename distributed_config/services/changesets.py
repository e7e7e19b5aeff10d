"""Changes to several services in one transaction, and so in one revision.

Subscribers see all of it or nothing. Every step is tried even after one has failed, so that one
response names every problem.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from operator import itemgetter

from distributed_config.errors import (
    BreaksOthers,
    DistconfError,
    Invalid,
    InvalidDocument,
    Problem,
    TooMuchWork,
)
from distributed_config.services import catalogue, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction, postponing
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.versions import WriteResult
from distributed_config.wire import Document, escape_pointer

_MOST_PROBLEMS = 100

IN_REQUEST = "request"
"""The rule of a problem whose pointer leads into the request, and not into a document."""


@dataclass(frozen=True)
class Step:
    """The action on one service.

    ``pointer`` leads to the step in the request, and ``place`` to its action. ``series`` has no
    name where the request names none. ``literal``: the
    document itself is at ``place``, and not a change to one, so that pointers into the document
    continue there. A step that is not ``sound`` cannot be done at all; its action raises why.
    """

    pointer: str
    place: str
    series: Series
    act: Callable[[Transaction], WriteResult]
    literal: bool
    sound: bool = True


_NO_SERIES = Series("")


def broken(pointer: str, error: Invalid, series: Series = _NO_SERIES) -> Step:
    """Return a step that is not sound, and raises ``error`` when its turn comes."""

    def refuse(_transaction: Transaction) -> WriteResult:
        raise error

    return Step(pointer, pointer, series, refuse, literal=True, sound=False)


def publish(transaction: Transaction, steps: Sequence[Step]) -> list[WriteResult]:
    """Do every step, in order. Raises if any fails; the caller's transaction is then rolled back.

    What layers make together is checked after the last step: one may need what another writes.
    The error is that of the first step that failed, so that its kind says what to do. Its
    ``problems`` are those of all of them, in order.
    """
    results: list[WriteResult] = []
    failures = _Failures()
    checks: list[tuple[int, Step, Callable[[], None]]] = []
    for number, step in enumerate(_once(steps)):
        with failures.of(number, step), postponing(transaction) as postponed:
            results.append(step.act(transaction))
            checks += [(number, step, check) for _, check in postponed]
    # After a failed step what others make of it need not be sound; each document must be.
    ignored = [BreaksOthers] if failures else []
    for number, step, check in checks:
        with failures.of(number, step), suppress(*ignored):
            check()
    failures.raise_if_any()
    return results


class _Failures:
    """The errors of steps, and the problems of all of them with pointers into the request."""

    def __init__(self) -> None:
        self._found: list[tuple[int, Step, DistconfError]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    @contextmanager
    def of(self, number: int, step: Step) -> Iterator[None]:
        """Collect the error of a step, which is the one of that ``number``."""
        try:
            yield
        except TooMuchWork:
            raise  # the limit is for all of them together, and the next step is above it too
        except DistconfError as error:
            self._found.append((number, step, error))

    def raise_if_any(self) -> None:
        """Raise the error of the first step that failed with all problems, if there is one."""
        if not self._found:
            return
        found = sorted(self._found, key=itemgetter(0))
        problems = [problem for _, step, error in found for problem in _located(step, error)]
        raise _with_all(found[0][2], problems)


@dataclass(frozen=True)
class Imported:
    """The outcome of an import: the names of the services, in the request's order."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


def import_all(
    transaction: Transaction,
    documents: Sequence[tuple[str, Document | Invalid]],
    environment: str = DEFAULT_ENVIRONMENT,
) -> Imported:
    """Create or update every named service in an environment, in one revision.

    A document that cannot be stored has its error in its place, and perhaps no name. Raises with
    the problems of all of them, whose pointers begin with the service's name.
    """
    results = publish(
        transaction,
        [_import_step(Series(name, environment), document) for name, document in documents],
    )
    return Imported(
        created=tuple(one.service for one in results if one.changed and one.number == 0),
        updated=tuple(one.service for one in results if one.changed and one.number > 0),
        unchanged=tuple(one.service for one in results if not one.changed),
    )


def prune(
    transaction: Transaction,
    keep: Collection[str],
    prefix: str = "",
    environment: str = DEFAULT_ENVIRONMENT,
) -> tuple[str, ...]:
    """Delete what begins with ``prefix`` and is not in ``keep``; return the services' names.

    Of each service its versions in ``environment`` are deleted; it goes with its last ones.

    Services that the actor may not see stay, and so do those without a current version. Raises
    Forbidden without the right to publish, and Invalid if ``keep`` is empty.
    """
    # An empty source is far more often a mistake, such as a wrong path, than the wish to delete
    # everything.
    if not keep:
        message = "There is no service in what is imported, so pruning would delete all of them."
        raise Invalid.from_problems([Problem("", message, "prune")])
    # An export leaves out services without a current version: that they are not in ``keep`` says
    # nothing about them.
    served = catalogue.served_names(transaction.reader, prefix, environment)
    gone = [name for name in served if name not in keep]
    with postponing(transaction) as postponed:
        for name in gone:
            versions.delete_with_versions(transaction, Series(name, environment))
    # Of those that go together, some may rest on others.
    for _, check in postponed:
        check()
    return tuple(gone)


def _import_step(series: Series, document: Document | Invalid) -> Step:
    pointer = f"/{escape_pointer(series.service)}" if series.service else ""
    if isinstance(document, Invalid):
        return broken(pointer, document, series)
    return Step(
        pointer,
        pointer,
        series,
        lambda transaction: versions.put(transaction, series, document),
        literal=True,
    )


def _located(step: Step, error: DistconfError) -> list[Problem]:
    """Return the problems of a step that failed, with pointers into the request."""
    if not error.problems:
        return [Problem(step.pointer, error.detail, error.code)]
    # Their pointers lead into documents of other services, which the request may not have.
    if isinstance(error, BreaksOthers):
        return [
            replace(problem, pointer=step.pointer, message=_at(problem))
            for problem in error.problems
        ]
    return [_locate(step, problem) for problem in error.problems]


def _at(problem: Problem) -> str:
    return f"{problem.message} (at {problem.pointer})" if problem.pointer else problem.message


def _locate(step: Step, problem: Problem) -> Problem:
    # Problems of a JSON Patch have pointers to its operations, which the request has.
    if step.literal or problem.rule == "json-patch":
        return replace(problem, pointer=step.place + problem.pointer)
    # These have pointers into the request already.
    if problem.rule == IN_REQUEST:
        return problem
    # The result of a change is nowhere in the request.
    message = f"In the result, {problem.pointer}: {problem.message}"
    return replace(problem, pointer=step.place, message=message)


def _once(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield ``steps``, with a broken step in place of one that names a service again."""
    # Two steps for one service would depend on their order, which a client may not mean.
    seen: set[Series] = set()
    for step in steps:
        repeated = step.series in seen
        if repeated:
            message = f"The service {step.series.service!r} is named more than once."
            yield broken(step.pointer, Invalid.from_problems([Problem("", message, "repeated")]))
        if not repeated or not step.sound:
            yield step
        if step.series.service:  # a step that is not sound may name none
            seen.add(step.series)


def _with_all(error: DistconfError, problems: Sequence[Problem]) -> DistconfError:
    """Return ``error`` with all ``problems``."""
    # The text of these two is made of their problems: where the first is, and how many there are.
    if isinstance(error, Invalid) and type(error) in {Invalid, InvalidDocument}:
        return type(error).from_problems(problems)
    error.problems = tuple(problems[:_MOST_PROBLEMS])
    return error
