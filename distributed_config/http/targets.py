"""Requests about the server as a whole."""

from flask import Flask, Response, request

_WHOLE_SERVER = "*"


def init_targets(app: Flask) -> None:
    """Answer ``OPTIONS *`` with every method that there is (RFC 9110, section 9.3.7)."""

    # A hook, because Flask's routing has no rule for a target that is no path.
    @app.before_request
    def _list_methods() -> Response | None:
        if request.method != "OPTIONS" or request.environ["PATH_INFO"] != _WHOLE_SERVER:
            return None
        methods = {name for rule in app.url_map.iter_rules() for name in rule.methods or ()}
        response = app.response_class()
        response.headers["Allow"] = ", ".join(sorted(methods))
        return response
