"""Tokens: of programs, and of people beside their sessions."""

from operator import attrgetter
from typing import Any

from distributed_config.api.v1.account_routes import (
    by_id_route,
    changed_grant,
    grant_of,
    list_route,
    render_changed,
    write_route,
)
from distributed_config.errors import Forbidden
from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData, json_response
from distributed_config.http.writes import Render, commit, json_of
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import bodies
from distributed_config.services.access import tokens
from distributed_config.services.access.tokens import IssuedToken, Token
from distributed_config.services.journal import head
from distributed_config.services.journal.head import Head
from distributed_config.services.journal.transaction import Transaction

_TOKENS = {"permission": auth.AUTHENTICATED}


@list_route("/tokens", **_TOKENS, answers={200: answers.TokensAnswer})
def list_tokens(query: dict[str, Any]) -> ResponseData:
    """List the organisation's tokens, oldest first; your own, unless you may manage them all."""
    epoch = head.read_head(reader_connection()).epoch
    after = after_key(query, epoch, int) or 0
    size = page_size(query["limit"])
    visible = tokens.tokens(
        auth.reader(),
        user_id=None if auth.actor().may("token:manage") else auth.identity().user_id or 0,
        after=after,
        search=query["search"],
        limit=size + 1,
    )
    body = {"tokens": answers.TokenAnswer.render_all(visible[:size])}
    return page_response(body, next_cursor(query, epoch, visible, size, attrgetter("id")))


@write_route(
    "POST", "/tokens", **_TOKENS, body=bodies.TokenBody, answers={200: answers.TokenAnswer}
)
def create_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Create a token: for a program, or for yourself. It is shown once, in this response."""
    grant, owner = grant_of(body), auth.identity().user_id
    # Such a token acts as its owner, who therefore has to be there in person: otherwise a stolen
    # token could be used to get another.
    if body["personal"] and auth.identity().kind != "session":
        raise Forbidden("Log in first to create a token of your own: POST /auth/token.")
    if not body["personal"]:
        auth.require("token:manage")
    name, seconds, render = body["name"], body["seconds"], _issued_renderer(query)
    # In the open mode there is no user whose own a token could be: it is a machine's.
    if body["personal"] and owner is not None:
        return commit(query, tokens.create_personal, owner, name, grant, seconds, render=render)
    return commit(query, tokens.create_machine, name, grant, seconds, render=render)


@by_id_route(
    "PATCH",
    "/tokens",
    **_TOKENS,
    body=bodies.TokenChangeBody,
    answers={200: answers.TokenAnswer},
)
def change_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Change a token: its name, its rights, how long it lives from now on.

    Keys that are left out stay as they are. The change takes effect as a revocation does: at
    once, and in open streams.
    """
    token_id = query["id"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    render = json_of(answers.TokenAnswer)
    return commit(query, _change_token, token_id, owner, holder, body, render=render)


def _change_token(
    transaction: Transaction, token_id: int, owner: int, holder: int | None, body: dict[str, Any]
) -> Token:
    tokens.require_owner(transaction.reader, token_id, owner)
    before = tokens.token(transaction.reader, token_id)
    expires_at = before.expires_at
    if "seconds" in body:
        expires_at = tokens.expiry_after(transaction, body["seconds"])
    return tokens.change(
        transaction,
        token_id,
        holder,
        name=body.get("name", before.name),
        rights=changed_grant(before.rights, body),
        expires_at=expires_at,
    )


@by_id_route(
    "POST",
    "/tokens/rotate",
    **_TOKENS,
    body=bodies.RotateBody,
    answers={200: answers.TokenAnswer},
)
def rotate_token(query: dict[str, Any], body: dict[str, Any]) -> ResponseData:
    """Replace a token by a new one; the old one stays valid for `overlap` seconds."""
    token_id, overlap = query["id"], body["overlap"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    render = _issued_renderer(query)
    return commit(query, _rotate_token, token_id, owner, holder, overlap, render=render)


def _rotate_token(
    transaction: Transaction, token_id: int, owner: int, holder: int | None, overlap: int
) -> IssuedToken:
    tokens.require_owner(transaction.reader, token_id, owner)
    return tokens.rotate(transaction, token_id, overlap, holder)


@by_id_route("DELETE", "/tokens", **_TOKENS, answers={200: answers.DoneAnswer})
def revoke_token(query: dict[str, Any]) -> ResponseData:
    """Revoke a token: from the next request on, and in open streams, it is no longer valid."""
    token_id = query["id"]
    owner, holder = _visible_owner(), _holder_of(token_id)
    return commit(query, _revoke_token, token_id, owner, holder, render=render_changed)


def _revoke_token(transaction: Transaction, token_id: int, owner: int, holder: int | None) -> bool:
    tokens.require_owner(transaction.reader, token_id, owner)
    return tokens.revoke(transaction, token_id, holder)


def _holder_of(token_id: int) -> int | None:
    """Return the user, if what they present may speak for their own token ``token_id``.

    That is a session, or the token itself. Another of their tokens may not: it can be limited,
    and must not become one that is not. None: the actor's permissions decide.
    """
    identity = auth.identity()
    is_own = identity.kind == "session" or identity.token_id == token_id
    return identity.user_id if is_own else None


def _visible_owner() -> int:
    """Return the user whose tokens the actor may touch; 0 for everybody's, -1 for nobody's.

    A token of somebody else is treated as if it did not exist: its id would tell that it does.
    """
    return 0 if auth.actor().may("token:manage") else auth.identity().user_id or -1


def _issued_renderer(query: dict[str, Any]) -> Render[IssuedToken]:
    """Return a ``render`` for a token with its secret, which is shown this one time.

    The secret of a rehearsal was never valid. It is null there, so that no script can store it.
    """
    dry_run = query["dry_run"]

    def render(issued: IssuedToken, _head: Head) -> ResponseData:
        body = answers.TokenAnswer.render(issued.token)
        secret = None if dry_run else issued.secret
        # no-store also keeps it out of the table of idempotency keys: the secret is stored nowhere.
        return json_response({**body, "token": secret}, Cache_Control="no-store")

    return render
