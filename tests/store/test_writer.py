"""The writer, without a server: what one unit meets is not its neighbours' to bear."""

import threading
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from distributed_config.commands import schema
from distributed_config.models import sqlite as engines
from distributed_config.services import versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import BatchStats, Writer
from distributed_config.wire import Document, digest_of

DAMAGED = OperationalError("SELECT", {}, Exception("Could not decode to UTF-8 column"))


def test_a_unit_that_meets_a_damaged_document_takes_nobody_with_it(tmp_path: Path) -> None:
    schema.upgrade(Settings(instance=tmp_path))
    path = tmp_path / "distconf.db"
    commits: list[BatchStats] = []
    writer = Writer(engines.writing_engine(path, 5), Watermarks(path), 5, commits.append)
    held, go_on = threading.Event(), threading.Event()
    failures: list[Exception] = []

    def hold(_journal: Transaction) -> None:
        held.set()
        go_on.wait(5)

    def meet_damage(_journal: Transaction) -> None:
        raise DAMAGED

    def put(transaction: Transaction) -> None:
        versions.put(transaction, Series("web"), Document("{}", digest_of("{}")))

    def order(unit: object) -> None:
        try:
            writer.write(LOCAL_OPERATOR, unit)  # type: ignore[arg-type]
        except OperationalError as error:
            failures.append(error)

    threads = [threading.Thread(target=order, args=(unit,)) for unit in (hold, meet_damage, put)]
    threads[0].start()
    assert held.wait(5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # both wait behind the first, and so come into one batch
    go_on.set()
    for thread in threads:
        thread.join()
    writer.stop()

    assert [commit.units for commit in commits] == [1, 2]
    assert failures == [DAMAGED]
    with engines.raw_connection(path) as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
