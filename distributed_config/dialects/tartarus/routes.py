"""The blueprint of the dialect, and its decorator of views."""

from collections.abc import Callable
from functools import wraps

from flask import Blueprint, Response

from distributed_config.http import auth
from distributed_config.http.response import ResponseData, json_response, to_response

blueprint = Blueprint("tartarus", __name__)

# Its clients use all of these spellings. A redirect between them would not do: many clients turn
# a POST that is redirected into a GET.
_BASES = [
    f"{prefix}/{spelling}"
    for prefix in ("/api/v1", "")
    for spelling in ("config_definition", "config-definition")
]

View = Callable[..., ResponseData]


def route(method: str, path: str, permission: str, status: int = 200) -> Callable[[View], View]:
    """Register a view under every spelling of its path; ``status`` is that of a success."""

    def register(view: View) -> View:
        @auth.requires(permission)
        @wraps(view)
        def endpoint(**keys: str) -> Response:
            response = view(**keys)
            response.status = status
            return to_response(response)

        for number, base in enumerate(_BASES):
            for slash in ("", "/"):
                # Each spelling is a rule of its own, and a rule needs a name of its own.
                name = f"{view.__name__}_{number}{'_' if slash else ''}"
                blueprint.add_url_rule(f"{base}{path}{slash}", name, endpoint, methods=[method])
        return view

    return register


def success(message: str, data: object) -> ResponseData:
    """Return the dialect's response to what succeeded."""
    return json_response({"status": "SUCCESS", "message": f"{message} successfully.", "data": data})
