"""Environments, what they make of a service, and the way from one to the next."""

from functools import partial
from typing import Any

from flask import Blueprint

from distributed_config.http import auth
from distributed_config.http import request as http_request
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.routes import route
from distributed_config.http.series import series_of
from distributed_config.http.writes import commit, json_of
from distributed_config.schemas import account_answers, bodies, layer_answers, queries
from distributed_config.services import promotions, versions
from distributed_config.services.journal.head import Head, read_head
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.layers import environment_changes, environments
from distributed_config.services.layers.environments import Environment
from distributed_config.services.layers.explain import Explainer
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.promotions import Promotion
from distributed_config.services.versions import WriteResult

blueprint = Blueprint("environments", __name__)

_MANAGE: dict[str, Any] = {
    "permission": environment_changes.MANAGE,
    "headers": ("Idempotency-Key", "Config-Note"),
}


@route(
    blueprint,
    "GET",
    "/environments",
    permission="config:read",
    answers={200: layer_answers.EnvironmentsAnswer},
)
def list_environments() -> ResponseData:
    """List the environments, in the order in which people see them."""
    found = environments.environments(auth.reader())
    body = {"environments": layer_answers.EnvironmentAnswer.render_all(found)}
    return json_response(body, Cache_Control="private, no-cache")


@route(
    blueprint,
    "POST",
    "/environments",
    **_MANAGE,
    query=queries.AccountWriteQuery,
    body=bodies.EnvironmentBody,
    answers={200: layer_answers.EnvironmentAnswer},
    refusals=(422, 507),
)
def create_environment(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create an environment."""
    return commit(query, _create, body, render=json_of(layer_answers.EnvironmentAnswer))


def _create(transaction: Transaction, body: dict[str, Any]) -> Environment:
    return environment_changes.create(transaction, **body)


@route(
    blueprint,
    "PATCH",
    "/environments",
    **_MANAGE,
    query=queries.EnvironmentQuery,
    body=bodies.EnvironmentChangeBody,
    answers={200: layer_answers.EnvironmentAnswer},
    refusals=(404, 422, 507),
)
def change_environment(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change an environment; what is left out stays as it is."""
    render = json_of(layer_answers.EnvironmentAnswer)
    return commit(query, environment_changes.change, query["name"], body, render=render)


@route(
    blueprint,
    "DELETE",
    "/environments",
    **_MANAGE,
    query=queries.EnvironmentQuery,
    answers={200: account_answers.DoneAnswer},
    refusals=(404, 409, 422, 507),
)
def delete_environment(query: dict[str, Any]) -> ResponseData:
    """Delete an environment in which nothing has a version."""
    http_request.refuse_body()
    delete = environment_changes.delete_environment
    return commit(query, delete, query["name"], render=_render_deleted)


def _render_deleted(_nothing: None, _head: Head) -> ResponseData:
    return json_response({"success": True, "changed": True})


@route(
    blueprint,
    "GET",
    "/explain",
    permission="config:read",
    query=queries.ExplainQuery,
    answers={200: layer_answers.ExplanationAnswer},
    refusals=(404, 409, 422),
)
def explain(query: dict[str, Any]) -> ResponseData:
    """Explain where each value of a resolved document comes from, and what it overrides."""
    series = series_of(query)
    found, _ = versions.resolve(auth.reader(), series)
    # Secrets are masked here, also for those who may read them: this is about where values are.
    resolver = Resolver(reader_connection(), auth.actor().organisation, reveal=False)
    explainer = Explainer(resolver, auth.actor().visibility)
    wanted = query["pointer"]
    values = [
        {
            "pointer": pointer,
            "value": origin.value,
            "origin": origin.layer,
            "overrides": origin.overrides,
            **({"use": origin.use} if origin.use else {}),
        }
        for pointer, origin in explainer.explain(series.service, series.environment)
        if pointer == wanted or pointer.startswith(f"{wanted}/")
    ]
    body = {
        "service": series.service,
        "environment": series.environment,
        "revision": read_head(reader_connection()).revision,
        "layers": found.layers,
        "values": values,
    }
    rendered = layer_answers.ExplanationAnswer.render(body)
    return json_response(rendered, Cache_Control="private, no-cache")


@route(
    blueprint,
    "POST",
    "/promotions",
    permission="config:write",
    query=queries.AccountWriteQuery,
    body=bodies.PromotionBody,
    answers={200: layer_answers.PromotionAnswer},
    refusals=(404, 410, 422, 507),
    headers=("Idempotency-Key", "Config-Note"),
)
def promote(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Copy the documents of services, or parts of them, from one environment to another.

    All of it is one revision, or nothing is copied. What is copied are stored documents: what the
    other environment inherits stays where it is.
    """
    # An empty list is a part without values, and not the whole document.
    pointers = None if body["pointers"] is None else tuple(body["pointers"])
    promotion = Promotion(tuple(body["services"]), body["source"], body["target"], pointers)
    return commit(
        query,
        promotions.promote,
        promotion,
        http_request.document_limits(),
        render=partial(_render_promoted, promotion),
        default_note=f"Promoted from {promotion.source}.",
    )


def _render_promoted(promotion: Promotion, written: list[WriteResult], _head: Head) -> ResponseData:
    body = {
        "success": True,
        "source": promotion.source,
        "target": promotion.target,
        "changes": written,
    }
    return json_response(layer_answers.PromotionAnswer.render(body))
