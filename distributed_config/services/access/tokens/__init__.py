"""Tokens of programs, of people, and of their sessions.

A secret leaves this room once, when its token is issued; only its digest is stored. A token can
never give another one more than it has itself: neither rights nor time.
"""

from distributed_config.services.access.tokens.read import (
    IssuedToken,
    Token,
    created_after,
    require_owner,
    token,
    tokens,
)
from distributed_config.services.access.tokens.write import (
    change,
    create_machine,
    create_personal,
    expiry_after,
    open_session,
    revoke,
    rotate,
)

__all__ = [
    "IssuedToken",
    "Token",
    "change",
    "create_machine",
    "create_personal",
    "created_after",
    "expiry_after",
    "open_session",
    "require_owner",
    "revoke",
    "rotate",
    "token",
    "tokens",
]
