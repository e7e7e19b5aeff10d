"""OpenID Connect's device flow (RFC 8628): a log-in at a terminal, confirmed in any browser.

This server alone speaks to the provider. The terminal holds the device code, sealed, so that any
process can go on with the log-in, and nothing is stored for one that nobody confirms.
"""

import hashlib
import json
import logging
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.parameters import prepare_token_request
from cryptography.fernet import Fernet, InvalidToken

from distributed_config.errors import DistconfError, NoDeviceFlow, Unauthenticated
from distributed_config.identity.oidc import LIFETIME, Metadata, Provider, failed, refused
from distributed_config.settings import Settings

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5  # seconds, where the provider names none, and the step of a slow_down (RFC 8628)
_LONGEST_INTERVAL = 60
_LONGEST_TEXT = 4_096  # characters of a device code or an address
_LONGEST_CODE = 64  # characters that somebody has to type
_MOST_REMEMBERED = 10_000
# The last one is Google's word to a client that is registered for browsers.
_NOT_ALLOWED = {"unauthorized_client", "unsupported_grant_type", "invalid_client"}
# The second of each pair is Entra ID's word.
_DENIED = {"access_denied", "authorization_declined"}
_EXPIRED = {"expired_token", "code_expired"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeviceLogin:
    """A log-in that began. ``handle`` is what to ask with whether it is confirmed.

    Somebody opens ``verification_uri`` and enters ``user_code``; or opens
    ``verification_uri_complete``, which has the code in it, and is None if the provider gives none.
    They have ``expires_in`` seconds, and ``interval`` seconds lie between two questions.
    """

    handle: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: int
    interval: int


@dataclass(frozen=True)
class Pending:
    """Nobody has confirmed the log-in yet: ask again in ``seconds``."""

    seconds: int


@dataclass(frozen=True)
class Confirmed:
    """The provider vouches for ``email``. ``key`` is of this log-in, which is good once only."""

    email: str
    key: str


class Handles:
    """Device codes, sealed for the terminals that log in, and good for ten minutes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def seal(self, code: str, interval: int, now: float) -> str:
        """Return a handle that holds ``code`` and the ``interval`` to ask in."""
        return self._fernet.encrypt_at_time(
            json.dumps([code, interval]).encode(), int(now)
        ).decode()

    def open(self, handle: str, now: float) -> tuple[str, int]:
        """Return the code and the interval. Raises Unauthenticated for any other text."""
        try:
            began = self._fernet.extract_timestamp(handle)
            if now - began > LIFETIME:
                raise _expired()
            code, interval = json.loads(self._fernet.decrypt_at_time(handle, LIFETIME, int(now)))
        except (InvalidToken, ValueError):  # a text beyond ASCII is a ValueError
            raise refused("the handle is none that this server sealed") from None
        return code, interval

    @cached_property
    def _fernet(self) -> Fernet:
        # From what all processes and servers share. Slowly, because anybody may get a handle, and
        # try at home which secret opens it; a provider's own secrets are too long for that.
        settings = self._settings
        salt = f"distconf device flow {settings.oidc_issuer} {settings.oidc_client_id}"
        key = hashlib.scrypt(
            settings.oidc_client_secret.encode(), salt=salt.encode(), n=1 << 14, r=8, p=1, dklen=32
        )
        return Fernet(urlsafe_b64encode(key))


class Pace:
    """When the provider may be asked about each log-in again, as one process knows it.

    It is for clients that ask too often. Losing it loses nothing: the provider keeps count itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def seconds_left(self, key: str, interval: int) -> int:
        """Return the whole seconds until the next question; 0: it may be asked now, and once."""
        with self._lock:
            at, known = self._next.get(key, (0.0, interval))
            left = at - self._clock()
            if left > 0:
                return int(left) + 1
            self._set(key, known)
            return 0

    def slow_down(self, key: str, interval: int) -> int:
        """Return the interval from now on, which is five seconds longer than the last one."""
        with self._lock:
            _, known = self._next.get(key, (0.0, interval))
            return self._set(key, min(known + _INTERVAL, _LONGEST_INTERVAL))

    def interval(self, key: str, interval: int) -> int:
        """Return the present interval; ``interval`` if nothing is known of ``key``."""
        with self._lock:
            return self._next.get(key, (0.0, interval))[1]

    def _set(self, key: str, interval: int) -> int:
        self._next[key] = (self._clock() + interval, interval)
        self._next.move_to_end(key)
        while len(self._next) > _MOST_REMEMBERED:
            self._next.popitem(last=False)
        return interval


class DeviceFlow:
    """The device flow of ``provider``, as one process goes through it."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self._provider = provider
        self._client_id = settings.oidc_client_id
        self._handles = Handles(settings)
        self._pace = Pace()

    def begin(self) -> DeviceLogin:
        """Begin a log-in. Raises NoDeviceFlow if the provider has none, or ProviderUnavailable."""
        with self._provider.conversation() as known:
            if not known.device:
                raise NoDeviceFlow("The identity provider of this server has no device flow.")
            status, answer = self._provider.post(known, known.device, self._first_form(known))
        if status != HTTPStatus.OK:
            raise _not_begun(status, _error(answer))
        return self._login(answer)

    def ask(self, handle: str) -> Confirmed | Pending:
        """Return whether the log-in of ``handle`` is confirmed, and by whom.

        Raises Unauthenticated if it is refused or over, ProviderUnavailable if the provider fails.
        """
        code, interval = self._handles.open(handle, time.time())
        # Of the code alone: two handles with one code are one log-in.
        key = hashlib.sha256(b"distconf device " + code.encode()).hexdigest()
        left = self._pace.seconds_left(key, interval)
        if left:
            return Pending(left)
        form = prepare_token_request(_GRANT, device_code=code)
        with self._provider.conversation() as known:
            status, answer = self._provider.post(known, known.token, form)
            error = _error(answer) if status != HTTPStatus.OK else ""
            if error == "slow_down":
                return Pending(self._pace.slow_down(key, interval))
            if error == "authorization_pending":
                return Pending(self._pace.interval(key, interval))
            _refuse(error)
            # The identity token has no nonce, and needs none: it comes for a code that no browser
            # has carried, from the provider itself.
            return Confirmed(self._provider.vouched_email(known, status, answer, None), key)

    def _first_form(self, known: Metadata) -> str:
        form = {"scope": self._provider.scope}
        if known.shows_secret == "client_secret_basic":  # noqa: S105  # the name of a method
            # The other methods put it into the form themselves; some providers look there only.
            form["client_id"] = self._client_id
        return urlencode(form)

    def _login(self, answer: dict[str, Any]) -> DeviceLogin:
        interval = _whole(answer.get("interval"), _INTERVAL, _LONGEST_INTERVAL)
        # Google's name for it is older than the standard's.
        uri = answer.get("verification_uri") or answer.get("verification_url")
        complete = answer.get("verification_uri_complete")
        code = _text(answer.get("device_code"), _LONGEST_TEXT)
        return DeviceLogin(
            handle=self._handles.seal(code, interval, time.time()),
            user_code=_text(answer.get("user_code"), _LONGEST_CODE),
            verification_uri=self._address(uri),
            verification_uri_complete=self._address(complete) if complete else None,
            expires_in=_whole(answer.get("expires_in"), LIFETIME, LIFETIME),
            interval=interval,
        )

    def _address(self, uri: Any) -> str:
        """Return an address for people to open. Raises ProviderUnavailable if it is none."""
        address = _text(uri, _LONGEST_TEXT)
        if not self._provider.may_be_visited(address):
            raise failed("it sends people to an address that cannot be trusted")
        return address


def _text(value: Any, longest: int) -> str:
    # What is shown at a terminal must not steer it.
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise failed("its device flow lacks a code or an address")
    return value


def _whole(value: Any, default: int, most: int) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return max(1, min(value, most)) if is_number else default


def _error(answer: dict[str, Any]) -> str:
    """Return the provider's word for what is wrong; "" if it has none."""
    error = answer.get("error")
    return error if isinstance(error, str) else ""


def _not_begun(status: int, error: str) -> DistconfError:
    if error in _NOT_ALLOWED:
        _logger.warning("the identity provider does not allow its device flow: %s", error)
        return NoDeviceFlow(
            "The identity provider does not allow this server its device flow; its administrator "
            "can allow that."
        )
    return failed(f"its device flow has the status {status}")


def _refuse(error: str) -> None:
    """Raise Unauthenticated if ``error`` of the token endpoint ends the log-in."""
    if error in _DENIED:
        raise Unauthenticated(
            "This log-in was refused at the identity provider. If that was a mistake, begin again."
        )
    if error in _EXPIRED:
        raise _expired()
    if error == "invalid_grant":
        raise refused("the provider does not take the device code")


def _expired() -> Unauthenticated:
    return Unauthenticated(
        "Nobody confirmed this log-in in time. Begin again, and enter the new code."
    )
