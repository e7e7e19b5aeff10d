"""Errors in the form of the dialect: a ``detail``, which is a sentence or a list of mistakes."""

from typing import Any

from distributed_config.dialects.base import Failure
from distributed_config.errors import DistconfError, Problem
from distributed_config.http.problems import status_of


def failure(status: int, detail: Any) -> Failure:
    """Return an error whose response is ``detail``, and nothing else."""
    return Failure(status, {"detail": detail}, str(detail))


def invalid_parameter(name: str, message: str, kind: str = "value_error") -> Failure:
    """Return the error of one parameter of the query."""
    return failure(422, [{"loc": ["query", name], "msg": message, "type": kind}])


def missing(name: str) -> Failure:
    """Return the error of a parameter that is required."""
    return invalid_parameter(name, "Field required", "missing")


def render_error(error: DistconfError) -> Failure:
    """Return an error of the domain in the dialect's form."""
    mistakes = [_mistake(problem) for problem in error.problems]
    return failure(status_of(error), mistakes or error.detail)


def _mistake(problem: Problem) -> dict[str, Any]:
    """Return a problem as FastAPI writes it, with where in the request it is."""
    if problem.parameter:
        # Header names are the only parameters that begin with a capital letter.
        where = "header" if problem.parameter[0].isupper() else "query"
        place = [where, problem.parameter]
    else:
        parts = problem.pointer.split("/")[1:]
        # RFC 6901, section 4: in this order, or "~01" would become "/".
        place = ["body", *(part.replace("~1", "/").replace("~0", "~") for part in parts)]
    return {"loc": place, "msg": problem.message, "type": "value_error"}
