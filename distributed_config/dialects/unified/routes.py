"""The blueprint of the dialect, and its decorator of views."""

from collections.abc import Callable

from flask import Blueprint, Response

from distributed_config.http import auth
from distributed_config.http.response import ResponseData, to_response

blueprint = Blueprint("unified", __name__, url_prefix="/config")

View = Callable[[], ResponseData]


def route(method: str, path: str, permission: str) -> Callable[[View], View]:
    """Register a view, which needs ``permission``, under ``method`` and ``path``."""

    def register(view: View) -> View:
        @auth.requires(permission)
        def endpoint() -> Response:
            return to_response(view())

        name = f"{view.__name__}_{method.lower()}"
        blueprint.add_url_rule(path, name, endpoint, methods=[method])
        return view

    return register
