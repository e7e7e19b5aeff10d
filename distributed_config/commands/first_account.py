"""The first administrator, who is created while there is neither a user nor a token."""

import sys

from distributed_config.errors import CannotStart
from distributed_config.services.access import tokens, users
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.token_format import is_token
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer

_ADMINISTRATOR = Grant("administrator")


def create_first_administrator(settings: Settings) -> None:
    """Create an administrator where nobody can log in yet, as the settings say.

    That is the user of DISTCONF_ADMIN_EMAIL; or a token, the one in DISTCONF_ADMIN_TOKEN or a new
    one, which is then printed once. Raises CannotStart if a setting cannot be used.
    """
    if settings.admin_token and not is_token(settings.admin_token):
        raise CannotStart(
            "DISTCONF_ADMIN_TOKEN is not a token; `distconf generate-token` prints one."
        )

    # Before the transaction: a hash is slow on purpose, and would hold up the other writers.
    hashed = hash_password(settings.admin_password) if settings.admin_password else ""

    def unit(transaction: Transaction) -> IssuedToken | None:
        if not users.has_no_accounts(transaction.connection):
            return None
        if settings.admin_email:
            users.create_user(transaction, settings.admin_email, _ADMINISTRATOR, hashed)
        if settings.admin_token or not settings.admin_email:
            return tokens.create_machine(
                transaction, "first administrator", _ADMINISTRATOR, secret=settings.admin_token
            )
        return None

    with open_writer(settings) as writer:
        issued = writer.write(LOCAL_OPERATOR, unit, "the first administrator")
    if issued is not None and not settings.admin_token:
        sys.stderr.write(
            "The first administrator's token; it is not shown again, and is good until you revoke "
            f"it:\n\n  {issued.secret}\n\n"
        )
        sys.stderr.flush()
