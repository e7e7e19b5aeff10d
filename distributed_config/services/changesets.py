"""Several services in one atomic publish: one revision, and watchers see all of it or none."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from distributed_config.errors import (
    DistconfError,
    Invalid,
    InvalidDocument,
    Problem,
    TooMuchWork,
)
from distributed_config.services import catalogue, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.versions import WriteResult
from distributed_config.wire import Document, escape_pointer

_MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Step:
    """What happens to one service.

    ``pointer`` says where in the request it stands, and ``place`` where its action does.
    ``literal`` says that what will be current stands there itself, and not a change to it. One
    that is not ``sound`` cannot be done at all; its action says why.
    """

    pointer: str
    place: str
    service: str
    act: Callable[[Transaction], WriteResult]
    literal: bool
    sound: bool = True


def broken(pointer: str, error: Invalid, service: str = "") -> Step:
    """A step that is not sound: what is wrong with it is told in its turn."""

    def refuse(_journal: Transaction) -> WriteResult:
        raise error

    return Step(pointer, pointer, service, refuse, literal=True, sound=False)


def publish(transaction: Transaction, steps: Sequence[Step]) -> list[WriteResult]:
    """Does every step, in order, or raises with the problems of all that would fail.

    The error is the first step's that failed, so that its kind says what to do; its ``problems``
    speak for all of them, in their order.
    """
    written: list[WriteResult] = []
    failures: list[DistconfError] = []
    problems: list[Problem] = []
    for step in _once(steps):
        try:
            written.append(step.act(transaction))
        except TooMuchWork:
            raise  # it is about all of them, and the next would only be refused as well
        except DistconfError as error:
            failures.append(error)
            problems += _placed(step, error)
    if failures:
        raise _together(failures[0], problems)
    return written


@dataclass(frozen=True)
class Imported:
    """What an import did, by service name, in the order given."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


def import_all(
    transaction: Transaction, documents: Sequence[tuple[str, Document | Invalid]]
) -> Imported:
    """Creates or updates every service named; one revision for all.

    In place of a document that cannot be stored is what says so, perhaps without a name. Raises
    with the problems of all of them, each behind the service's pointer.
    """
    written = publish(transaction, [_imported(name, document) for name, document in documents])
    return Imported(
        created=tuple(each.service for each in written if each.changed and each.number == 0),
        updated=tuple(each.service for each in written if each.changed and each.number > 0),
        unchanged=tuple(each.service for each in written if not each.changed),
    )


def prune(transaction: Transaction, kept: Collection[str], prefix: str = "") -> tuple[str, ...]:
    """Deletes the services that begin with ``prefix`` and are not in ``kept``; returns their names.

    Services that the actor may not see stay, and so do those whose versions are all disabled: an
    export leaves these out, so that their absence says nothing. Raises Forbidden without the
    right to publish, and Invalid when ``kept`` is empty: a source that holds nothing is far more
    often a mistake, such as a wrong path, than the wish to delete everything.
    """
    if not kept:
        message = "There is no service in what is imported, so pruning would delete all of them."
        raise Invalid.from_problems([Problem("", message, "prune")])
    served = catalogue.served_names(transaction.reader, prefix)
    gone = [name for name in served if name not in kept]
    for name in gone:
        versions.delete_with_versions(transaction, Series(name))
    return tuple(gone)


def _imported(name: str, document: Document | Invalid) -> Step:
    pointer = f"/{escape_pointer(name)}" if name else ""
    if isinstance(document, Invalid):
        return broken(pointer, document, name)
    return Step(
        pointer,
        pointer,
        name,
        lambda transaction: versions.put(transaction, Series(name), document),
        literal=True,
    )


def _placed(step: Step, error: DistconfError) -> list[Problem]:
    """The problems of a step that failed, by where in the request they come from."""
    if not error.problems:
        return [Problem(step.pointer, error.detail, error.code)]
    return [
        replace(each, pointer=step.place + each.pointer)
        if step.literal or each.rule == "json-patch"
        else replace(
            each, pointer=step.place, message=f"In the result, {each.pointer}: {each.message}"
        )
        for each in error.problems
    ]


def _once(steps: Sequence[Step]) -> Iterator[Step]:
    """``steps``; in place of one that names a service again is a broken one that says so."""
    seen: set[str] = set()
    for step in steps:
        repeated = step.service in seen
        if repeated:
            message = f"The service {step.service!r} is named more than once."
            yield broken(step.pointer, Invalid.from_problems([Problem("", message, "repeated")]))
        if not repeated or not step.sound:
            yield step
        if step.service:  # one that is not sound may name none
            seen.add(step.service)


def _together(error: DistconfError, problems: Sequence[Problem]) -> DistconfError:
    """``error`` with all ``problems``."""
    if isinstance(error, Invalid) and type(error) in {Invalid, InvalidDocument}:
        # Its detail names the first problem and their number, so it is made again from all of them.
        return type(error).from_problems(problems)
    error.problems = tuple(problems[:_MOST_PROBLEMS])
    return error
