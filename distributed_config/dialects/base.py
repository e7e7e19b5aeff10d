"""The parts of every dialect: its name, its routes, its form of errors, and its writes.

A dialect is the API of another config server, on top of the same verbs. What its users rely on
here holds in it as well: a write takes a note, ``dry_run`` and an ``Idempotency-Key``, and a
condition is applied or refused, never ignored. Requests about documents take an ``environment``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

from flask import Blueprint, Response, request

from distributed_config import errors
from distributed_config.errors import DistconfError, Invalid, Problem
from distributed_config.http.problems import to_domain_error
from distributed_config.http.response import ResponseData, json_response, to_response
from distributed_config.http.writes import Render, commit_plainly
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


class Failure(DistconfError):
    """An error in a dialect's own form: the JSON ``body`` of its response, and the status."""

    def __init__(self, status: int, body: dict[str, Any], message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Dialect:
    """Another config server's API.

    ``name`` is what ``DISTCONF_DIALECTS`` says. ``render_error`` turns an error of the domain into
    the dialect's own form; a ``Failure`` that a view raises is in that form already.
    """

    name: str
    blueprint: Blueprint
    render_error: Callable[[DistconfError], Failure]

    def __post_init__(self) -> None:
        # Here, and not where the application is made: Flask lets nobody change a blueprint once
        # an application has it, and a process can make several applications.
        self.blueprint.register_error_handler(Exception, self._respond)

    def _respond(self, error: Exception) -> Response:
        known = to_domain_error(error)
        failure = known if isinstance(known, Failure) else self.render_error(known)
        response = json_response(failure.body, Cache_Control="no-store")
        response.status = failure.status
        # Every HTTP client can use the header, whatever form of errors it expects.
        if isinstance(known, errors.Unavailable):
            response.headers["Retry-After"] = str(known.retry_after)
        return to_response(response)


def environment() -> str:
    """Return the environment that the request is about; whether there is one, verbs check.

    Raises Invalid if the query names more than one.
    """
    problems = _repeated("environment")
    if problems:
        raise Invalid.from_problems(problems)
    return request.args.get("environment", DEFAULT_ENVIRONMENT)


def write(
    verb: Callable[[Transaction, *Arguments], T], *arguments: *Arguments, render: Render[T]
) -> ResponseData:
    """Run ``verb`` as ``http.writes.commit_plainly`` does.

    The request's ``note`` and ``dry_run`` are its query.

    Raises Invalid if one of these two is malformed, besides what the verb raises.
    """
    problems = _repeated("note", "dry_run")
    dry_run = request.args.get("dry_run", "false")
    # The dialect itself knows no dry_run, so it is strict: a value that is misread would write.
    if dry_run not in _SWITCH:
        problems.append(Problem("", "It is true or false.", "query", "dry_run"))
    if problems:
        raise Invalid.from_problems(problems)
    query = {"note": request.args.get("note"), "dry_run": _SWITCH[dry_run]}
    return commit_plainly(query, verb, *arguments, render=render)


def _repeated(*names: str) -> list[Problem]:
    """Return a problem for each of ``names`` that is in the query more than once."""
    return [
        Problem("", "It appears more than once. Send it once.", "repeated", name)
        for name in names
        if len(request.args.getlist(name)) > 1
    ]


def refuse_preconditions(why: str, *headers: str) -> None:
    """Raise Invalid, with ``why``, if the request has one of ``headers``."""
    problems = [
        Problem("", why, "precondition", header) for header in headers if header in request.headers
    ]
    if problems:
        raise Invalid.from_problems(problems)
