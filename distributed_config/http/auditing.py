"""What doors and hooks write into the audit log.

What may be lost is noted soon, by whoever writes next; what must not be answered before it is on
disk is noted now. What anybody can cause is bounded: beyond a number in each minute it is only
counted, and the next entry tells how many were left out.
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
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import Actor
from distributed_config.settings import Settings
from distributed_config.store.batch import Unit

Facts = dict[str, Any]
"""What an entry has besides: small, and never a secret or a document."""

ANONYMOUS = Actor("nobody", "nobody", frozenset())
"""Who asks and did not say who they are."""

_REFUSALS = {STATUSES[Unauthenticated], STATUSES[Refused]}
_LONGEST_PATH = 200
_LONGEST_NAME = 254
_PLACES = 10_000
_MINUTE = 60.0


class RateWindow:
    """So many in each minute, over all threads of the process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._taken = 0
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """How many were left out since the last one that was not; None: this one is, too."""
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
    """The pairs of token and address that this process met; the 10,000 it met last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: OrderedDict[tuple[int, str], None] = OrderedDict()

    def is_new(self, token_id: int, address: str) -> bool:
        """Whether this is the first time; from now on it is not."""
        with self._lock:
            known = (token_id, address) in self._met
            self._met[token_id, address] = None
            self._met.move_to_end((token_id, address))
            if len(self._met) > _PLACES:
                self._met.popitem(last=False)
            return not known


class Auditing:
    """What one process remembers of what it notes."""

    def __init__(self, most: int) -> None:
        self.refusals = RateWindow(most)
        self.moves = RateWindow(most)
        self.places = SeenAddresses()


def init_auditing(app: Flask, settings: Settings) -> None:
    """Notes every refusal of ``app``: nobody knows who asks, or they may not.

    And every secret that is read in the clear, before it is answered.
    """
    app.extensions["auditing"] = Auditing(settings.audit_refusals)

    @app.after_request
    def _note_reading(response: Response) -> Response:
        services = secret_reads.revealed()
        try:
            if services:
                _secrets_read(services)
        except DistconfError as error:
            # What cannot be noted is not told.
            return to_response(problem_response(error))
        return response

    @app.after_request
    def _note_refusal(response: Response) -> Response:
        if response.status_code in _REFUSALS and "audited" not in g:
            detail = {
                "method": request.method[:20],
                "path": request.path[:_LONGEST_PATH],
                "status": response.status_code,
                "code": g.get("error_code", ""),
            }
            _note_bounded(audit.REFUSED, _asking(), detail, _named_service())
        return response


def note_now(kind: str, detail: Facts, *, service: str | None = None) -> None:
    """Notes what the actor of the request did; on disk when this returns.

    Raises Unavailable if it cannot be written.
    """
    actor, organisation = _asking()
    # A reader that stays open would hold up the commit where there is no write-ahead log.
    database.release()
    database.write(actor, _unit(kind, organisation, service, detail))


def login_done(email: str, organisation: int, way: str = "password") -> None:
    """Notes that a user logged in, and in which way; on disk when this returns."""
    actor = replace(ANONYMOUS, name=email, address=_address())
    database.release()
    database.write(actor, _unit(audit.LOGIN, organisation, None, {"way": way}))


def login_refused(email: str, reason: str, organisation: int | None = None) -> None:
    """Notes that a log-in was refused to who called themselves ``email``; bounded, and soon.

    ``organisation`` is the account's, where there is one. The refusal has no entry besides.
    """
    g.audited = True
    who = replace(ANONYMOUS, name=email[:_LONGEST_NAME], address=_address()), organisation
    _note_bounded(audit.LOGIN_REFUSED, who, {"reason": reason})


def _secrets_read(services: list[str]) -> None:
    """Notes of each of ``services`` that its secrets were read; on disk when this returns."""
    actor, organisation = _asking()
    path = request.path[:_LONGEST_PATH]

    def unit(transaction: Transaction) -> None:
        for service in services:
            detail = {"path": path}
            audit.record(
                transaction,
                audit.SECRET_READ,
                organisation=organisation,
                service=service,
                detail=detail,
            )

    database.release()
    database.write(actor, unit)


def moved(found: Identity) -> Unit[None] | None:
    """What notes that a token was used from an address that is new to it; None if it is not."""
    address = found.actor.address
    mine = _of_process()
    if found.used_from == address or not mine.places.is_new(found.token_id, address):
        return None
    left_out = mine.moves.take(time.monotonic())
    if left_out is None:
        return None
    detail = {"token": found.token_id, "before": found.used_from, **_counted(left_out)}
    return _unit(audit.TOKEN_ADDRESS, found.actor.organisation, None, detail)


def _note_bounded(
    kind: str, who: tuple[Actor, int | None], detail: Facts, service: str | None = None
) -> None:
    left_out = _of_process().refusals.take(time.monotonic())
    if left_out is not None:
        actor, organisation = who
        unit = _unit(kind, organisation, service, {**detail, **_counted(left_out)})
        database.of().writer.post(actor, unit)


def _counted(left_out: int) -> dict[str, int]:
    return {"left_out": left_out} if left_out else {}


def _unit(kind: str, organisation: int | None, service: str | None, detail: Facts) -> Unit[None]:
    def unit(transaction: Transaction) -> None:
        audit.record(transaction, kind, organisation=organisation, service=service, detail=detail)

    return unit


def _asking() -> tuple[Actor, int | None]:
    """Who asks, and the organisation in which; none of nobody."""
    found: Identity | None = g.get("identity")
    if found is None:
        return replace(ANONYMOUS, address=_address()), None
    return found.actor, found.actor.organisation


def _named_service() -> str | None:
    """The service that a refused request names, if somebody is known to have sent it."""
    try:
        return wire.check_name(request.args.get("service", "")) if "identity" in g else None
    except Invalid:
        return None


def _address() -> str:
    """Where the request comes from: the other end of the connection, and nothing it says."""
    return request.remote_addr or ""


def _of_process() -> Auditing:
    found: Auditing = current_app.extensions["auditing"]
    return found
