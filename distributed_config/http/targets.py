"""Requests that are about the server as a whole."""

from flask import Flask, Response, request

_EVERYTHING = "*"


def init_targets(app: Flask) -> None:
    """Answers ``OPTIONS *`` with every method that there is (RFC 9110, section 9.3.7)."""

    @app.before_request
    def _tell_methods() -> Response | None:
        if request.method != "OPTIONS" or request.environ["PATH_INFO"] != _EVERYTHING:
            return None
        methods = {name for rule in app.url_map.iter_rules() for name in rule.methods or ()}
        response = app.response_class()
        response.headers["Allow"] = ", ".join(sorted(methods))
        return response
