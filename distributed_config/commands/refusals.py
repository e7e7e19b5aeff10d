"""How a command ends that cannot do what it should: a sentence on standard error, exit code 1."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from distributed_config.client.cli.streams import describe_encoding_error, describe_os_error
from distributed_config.errors import DistconfError

# The files that commands write hold configurations: the database, its backups, exports.
_PRIVATE = 0o077


@contextmanager
def report_errors(program: str) -> Iterator[None]:
    """Run a command whose files are its user's alone; where it fails, say why and exit with 1.

    Only mistakes in the program itself are shown with their traceback.
    """
    mask = os.umask(_PRIVATE)
    try:
        yield
    except DistconfError as error:
        _complain(program, error)
    except OSError as error:
        click.echo(f"{program}: {describe_os_error(error)}", err=True)
    except UnicodeEncodeError as error:
        click.echo(f"{program}: {describe_encoding_error(error)}", err=True)
    except Exception as error:  # the database's errors have no class here: see _storage_error
        meaning = _storage_error(error)
        if meaning is None:
            raise
        _complain(program, meaning)
    else:
        return
    finally:
        os.umask(mask)
    sys.exit(1)


def _storage_error(error: Exception) -> DistconfError | None:
    """Return what an error of the database means; None if it is not one.

    SQLAlchemy is loaded for this only now: most commands that fail never needed it, and a
    refusal should not wait for it.
    """
    database = importlib.import_module("distributed_config.store.database")
    meaning: DistconfError | None = database.storage_error(error)
    return meaning


def _complain(program: str, error: DistconfError) -> None:
    click.echo(f"{program}: {error.detail}", err=True)
    for problem in error.problems:
        where = " ".join(filter(None, [problem.parameter, problem.pointer]))
        line = f"{where}: {problem.message}" if where else problem.message
        if line not in error.detail:
            click.echo(f"  {line}", err=True)
