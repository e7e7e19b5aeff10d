"""``distconf secrets``."""

import click

from distributed_config.commands.progress import progress
from distributed_config.errors import SecretUnreadable
from distributed_config.services import secrets
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.secrets import keyring as keyrings
from distributed_config.settings import load
from distributed_config.store.database import open_writer


@click.group()
def command() -> None:
    """Look after the keys that secrets are encrypted under."""


@command.command("new-key")
@click.argument("name")
def new_key(name: str) -> None:
    """Print a new line for a key file, for the key NAME."""
    click.echo(f"{name}:{keyrings.new_key()}")


@command.command()
@click.option("--added", is_flag=True, help="The key file begins with a new key already.")
def rotate(added: bool) -> None:
    """Change to new keys; the server may go on.

    A new key is put first in the key file. All data keys are encrypted again, under it, and secrets
    that are written from now on have a new data key. Stored documents are not touched, and stay
    readable; so does an earlier backup, with the file's older lines.
    """
    settings = load()
    keyring = keyrings.from_settings(settings)
    if not added:
        keyring.add()

    def renew(key_id: str) -> bool:
        try:
            writer.write(
                LOCAL_OPERATOR, lambda transaction: secrets.rewrap(transaction.connection, key_id)
            )
        except SecretUnreadable:
            return False
        return True

    def create_data_key(transaction: Transaction) -> str:
        return secrets.create_data_key(transaction.connection, transaction.now)

    with open_writer(settings) as writer, progress("Data keys") as show:
        old = writer.write(LOCAL_OPERATOR, lambda transaction: secrets.keys(transaction.connection))
        # The new one first: secrets that are written meanwhile have it.
        writer.write(LOCAL_OPERATOR, create_data_key)
        renewed = 0
        for done, key_id in enumerate(old, 1):
            renewed += renew(key_id)
            show(done, len(old))
    click.echo(f"Data keys encrypted again: {renewed}, and a new one is in use.")
    if renewed < len(old):
        click.echo(
            f"Data keys that {keyring.path} does not open, and that stay as they are: "
            f"{len(old) - renewed}.",
            err=True,
        )
        raise SystemExit(1)
