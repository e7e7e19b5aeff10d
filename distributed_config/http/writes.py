"""A write as HTTP has it: once for each idempotency key, or only rehearsed."""

import hashlib
import json
from collections.abc import Callable

from flask import request

from distributed_config.http import auth, database
from distributed_config.http import request as asked
from distributed_config.http.response import ResponseData
from distributed_config.services import idempotency
from distributed_config.services.idempotency import StoredResponse
from distributed_config.services.journal.transaction import Transaction


def commit(
    unit: Callable[[Transaction], ResponseData], note: str = "", dry_run: bool = False
) -> ResponseData:
    """What ``unit`` answers, once what it wrote is on disk.

    With ``dry_run`` everything is done, answered and undone. With an Idempotency-Key it is done
    the first time only; but an answer that must not be stored, as one that shows a new token, is
    not kept, and what it answers is done each time.
    """
    given = asked.idempotency_key()
    key = "" if dry_run else given
    fingerprint = _fingerprint() if key else ""
    lifetime = database.of().settings.idempotency_hours

    def run(transaction: Transaction) -> ResponseData:
        if key:
            before = idempotency.recall(transaction, key, fingerprint, lifetime)
            if before is not None:
                return _given_again(before)
        answer = unit(transaction)
        answer.headers["Config-Revision"] = str(transaction.head.revision)
        if key and answer.headers.get("Cache-Control") != "no-store":
            kept = StoredResponse(answer.status, json.dumps(answer.headers), answer.body)
            idempotency.remember(transaction, key, fingerprint, kept, lifetime)
        return answer

    if not dry_run:
        return database.write(auth.actor(), run, note)
    answer = database.rehearse(auth.actor(), run, note)
    answer.headers["Config-Dry-Run"] = "true"
    del answer.headers["Config-Revision"]
    return answer


def _given_again(before: StoredResponse) -> ResponseData:
    headers = json.loads(before.headers)
    return ResponseData(
        before.body, before.status, headers={**headers, "Idempotency-Replayed": "true"}
    )


def _fingerprint() -> str:
    parts = (
        request.method.encode(),
        request.full_path.encode(),
        request.mimetype.encode(),
        request.headers.get("If-Match", "").encode(),
        request.headers.get("If-None-Match", "").encode(),
        request.headers.get("If-Unmodified-Since", "").encode(),
        request.headers.get("Config-Note", "").encode("latin-1", "replace"),
        asked.body_bytes(),
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
