"""What routes and hooks record in the audit log.

What may be lost is recorded soon, together with the next write; what must not be answered before
it is on disk is recorded at once. What anybody can cause is bounded: beyond a number in each
minute it is only counted, and the next entry has how many were left out.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any

from flask import Flask, Response, current_app, g, request

from distributed_config import wire
from distributed_config.errors import DistconfError, Invalid, Refused, Unauthenticated
from distributed_config.http import database, secret_reads
from distributed_config.http.problems import STATUSES, problem_response
from distributed_config.http.response import to_response
from distributed_config.services.access.identify import Identity
from distributed_config.services.journal import audit
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.settings import Settings
from distributed_config.store.batch import Unit

Detail = dict[str, Any]
"""What an entry has besides its columns: small, and never a secret or a document."""

ANONYMOUS = Actor("nobody", "nobody", frozenset())
"""The actor of entries about requests without valid credentials."""

_REFUSALS = {STATUSES[Unauthenticated], STATUSES[Refused]}
# The columns hold texts that anybody can send.
_LONGEST_PATH = 200
_LONGEST_NAME = 254
_MOST_ADDRESSES = 10_000
_MINUTE = 60.0


class RateWindow:
    """At most ``most`` in each minute, over all threads of the process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._taken = 0
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """Return how many were left out since the last that was not; None: leave this out too."""
        with self._lock:
            if now - self._began >= _MINUTE:
                self._began, self._taken = now, 0
            if self._taken >= self._most:
                self._left_out += 1
                return None
            self._taken += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class SeenAddresses:
    """The pairs of token and address that this process saw last, at most 10,000."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[int, str], None] = OrderedDict()

    def is_new(self, token_id: int, address: str) -> bool:
        """Whether a pair is seen for the first time; from now on it is not."""
        with self._lock:
            known = (token_id, address) in self._seen
            self._seen[token_id, address] = None
            self._seen.move_to_end((token_id, address))
            if len(self._seen) > _MOST_ADDRESSES:
                self._seen.popitem(last=False)
            return not known


class Auditing:
    """The state of one process: what bounds its entries."""

    def __init__(self, most: int) -> None:
        self.refusals = RateWindow(most)
        self.address_changes = RateWindow(most)
        self.addresses = SeenAddresses()


def init_auditing(app: Flask, settings: Settings) -> None:
    """Record every refusal of ``app``, and every secret that is read in the clear.

    A read of a secret is on disk before it is answered.
    """
    app.extensions["auditing"] = Auditing(settings.audit_refusals)

    @app.after_request
    def _record_secret_reads(response: Response) -> Response:
        services = secret_reads.recorded_services()
        try:
            if services:
                _record_reads(services)
        except DistconfError as error:
            # A read that cannot be audited is not answered.
            return to_response(problem_response(error))
        return response

    @app.after_request
    def _record_refusal(response: Response) -> Response:
        if response.status_code in _REFUSALS and "audited" not in g:
            detail = {
                "method": request.method[:20],
                "path": request.path[:_LONGEST_PATH],
                "status": response.status_code,
                "code": g.get("error_code", ""),
            }
            _record_bounded(AuditKind.REFUSED, _requester(), detail, _named_service())
        return response


def record_now(kind: str, detail: Detail, *, service: str | None = None) -> None:
    """Record what the actor of the request did; on disk when this returns.

    Raises Unavailable if it cannot be written.
    """
    actor, organisation = _requester()
    _write(actor, _entry(kind, organisation, service, detail))


def record_login(email: str, organisation: int, way: str = "password") -> None:
    """Record that a user logged in, and in which way; on disk when this returns."""
    actor = replace(ANONYMOUS, name=email, address=_address())
    _write(actor, _entry(AuditKind.LOGIN, organisation, None, {"way": way}))


def record_refused_login(email: str, reason: str, organisation: int | None = None) -> None:
    """Record that a log-in as ``email`` was refused; bounded, and soon.

    ``organisation`` is the account's, where there is one.
    """
    g.audited = True  # the response is a refusal too, and would have an entry besides
    who = replace(ANONYMOUS, name=email[:_LONGEST_NAME], address=_address()), organisation
    _record_bounded(AuditKind.LOGIN_REFUSED, who, {"reason": reason})


def address_change_entry(identity: Identity) -> Unit[None] | None:
    """Return what records that a token is used from a new address; None if it is not new."""
    address = identity.actor.address
    state = _of_process()
    if identity.used_from == address or not state.addresses.is_new(identity.token_id, address):
        return None
    left_out = state.address_changes.take(time.monotonic())
    if left_out is None:
        return None
    detail = {"token": identity.token_id, "before": identity.used_from, **_counted(left_out)}
    return _entry(AuditKind.TOKEN_ADDRESS, identity.actor.organisation, None, detail)


def _record_reads(services: list[str]) -> None:
    """Record for each of ``services`` that its secrets were read; on disk when this returns."""
    actor, organisation = _requester()
    detail = {"path": request.path[:_LONGEST_PATH]}

    def record(transaction: Transaction) -> None:
        for service in services:
            audit.record(
                transaction,
                AuditKind.SECRET_READ,
                organisation=organisation,
                service=service,
                detail=detail,
            )

    _write(actor, record)


def _write(actor: Actor, work: Unit[None]) -> None:
    # Without a write-ahead log an open reader would hold up the commit: our own, for ever.
    database.release()
    database.write(actor, work)


def _record_bounded(
    kind: str, who: tuple[Actor, int | None], detail: Detail, service: str | None = None
) -> None:
    left_out = _of_process().refusals.take(time.monotonic())
    if left_out is not None:
        actor, organisation = who
        entry = _entry(kind, organisation, service, {**detail, **_counted(left_out)})
        database.of().writer.post(actor, entry)


def _counted(left_out: int) -> dict[str, int]:
    return {"left_out": left_out} if left_out else {}


def _entry(kind: str, organisation: int | None, service: str | None, detail: Detail) -> Unit[None]:
    """Return the work that records one entry."""

    def record(transaction: Transaction) -> None:
        audit.record(transaction, kind, organisation=organisation, service=service, detail=detail)

    return record


def _requester() -> tuple[Actor, int | None]:
    """Return the actor of the request, and the organisation; None without credentials."""
    identity: Identity | None = g.get("identity")
    if identity is None:
        return replace(ANONYMOUS, address=_address()), None
    return identity.actor, identity.actor.organisation


def _named_service() -> str | None:
    """Return the service that a refused request names, if it was authenticated."""
    # An organisation is shown such entries, so nobody outside may write names into them.
    try:
        return wire.check_name(request.args.get("service", "")) if "identity" in g else None
    except Invalid:
        return None


def _address() -> str:
    """Return the peer's address: the other end of the connection, and nothing that it claims."""
    return request.remote_addr or ""


def _of_process() -> Auditing:
    state: Auditing = current_app.extensions["auditing"]
    return state
