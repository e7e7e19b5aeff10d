"""Several services in one atomic publish: one revision, and watchers see all of it or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from distributed_config.errors import DistconfError, Invalid, Problem
from distributed_config.services import versions
from distributed_config.services.journal import Journal
from distributed_config.services.versions import Written
from distributed_config.wire import Document, escape_pointer


@dataclass(frozen=True)
class Step:
    """What happens to one service.

    ``pointer`` says where in the request it stands, and ``place`` where its action does.
    ``literal`` says that what will be current stands there itself, and not a change to it.
    """

    pointer: str
    place: str
    service: str
    act: Callable[[Journal], Written]
    literal: bool


def publish(journal: Journal, steps: Sequence[Step]) -> list[Written]:
    """Does every step, in order, or raises with the problems of all that would fail.

    The error is the first step's that failed, so that its kind says what to do; its ``problems``
    speak for all of them.
    """
    _refuse_repeated(steps)
    written: list[Written] = []
    failures: list[DistconfError] = []
    problems: list[Problem] = []
    for step in steps:
        try:
            written.append(step.act(journal))
        except DistconfError as error:
            failures.append(error)
            problems += _placed(step, error)
    if failures:
        failures[0].problems = tuple(problems)
        raise failures[0]
    return written


@dataclass(frozen=True)
class Imported:
    """What an import did, by service name, in the order given."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]


def import_all(journal: Journal, documents: Sequence[tuple[str, Document]]) -> Imported:
    """Creates or updates every service named; one revision for all.

    Raises with the problems of all of them, each behind the service's pointer.
    """
    written = publish(journal, [_imported(name, document) for name, document in documents])
    return Imported(
        created=tuple(each.service for each in written if each.changed and each.number == 0),
        updated=tuple(each.service for each in written if each.changed and each.number > 0),
        unchanged=tuple(each.service for each in written if not each.changed),
    )


def _imported(name: str, document: Document) -> Step:
    pointer = f"/{escape_pointer(name)}"
    return Step(
        pointer, pointer, name, lambda journal: versions.put(journal, name, document), literal=True
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


def _refuse_repeated(steps: Sequence[Step]) -> None:
    seen: set[str] = set()
    problems = []
    for step in steps:
        if step.service in seen:
            message = f"The service {step.service!r} is named more than once."
            problems.append(Problem(step.pointer, message, "repeated"))
        seen.add(step.service)
    if problems:
        raise Invalid.of(problems)
