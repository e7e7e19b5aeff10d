"""What one write may hold up the others for; and that steps take time in proportion."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from distributed_config.commands import schema
from distributed_config.errors import DistconfError, TooMuchWork
from distributed_config.models.sqlite import writing_engine
from distributed_config.services import changesets, secrets, versions
from distributed_config.services.changesets import Step
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import allowance as allowance_module
from distributed_config.services.journal.allowance import Allowance
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.patches import patched
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.secrets import SecretPaths
from distributed_config.settings import Settings
from distributed_config.store import batch as batch_module
from distributed_config.store.watermarks import Watermarks
from distributed_config.store.writer import BatchStats, Writer
from distributed_config.wire import MASK, Document, DocumentLimits, digest_of
from tests.support.server import Server

EMPTY = Document("{}", digest_of("{}"))


class Clock:
    """The processor time of the thread that writes, turned by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def thread_time(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (allowance_module, batch_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(thread_time=made.thread_time))
    return made


@pytest.fixture
def commits() -> list[BatchStats]:
    return []


@pytest.fixture
def writer(tmp_path: Path, commits: list[BatchStats]) -> Iterator[Writer]:
    schema.upgrade(Settings(instance=tmp_path))
    path = tmp_path / "distconf.db"
    made = Writer(writing_engine(path, 5), Watermarks(path), 5, commits.append, work_ms=250)
    yield made
    made.stop()


def put(transaction: Transaction, name: str) -> versions.WriteResult:
    return versions.put(transaction, Series(name), EMPTY)


# --- the bound


def test_a_unit_that_takes_too_long_is_undone_and_its_neighbours_are_not(
    writer: Writer, clock: Clock
) -> None:
    def greedy(transaction: Transaction) -> None:
        put(transaction, "greedy")
        clock.seconds += 1  # a single step, found out at the end

    with pytest.raises(TooMuchWork, match="DISTCONF_LOCK_WORK_MS"):
        writer.write(LOCAL_OPERATOR, greedy)
    writer.write(LOCAL_OPERATOR, lambda transaction: put(transaction, "modest"))

    def names(transaction: Transaction) -> list[str]:
        return list(transaction.connection.scalars(text("SELECT name FROM services")))

    assert writer.write(LOCAL_OPERATOR, names) == ["modest"]
    assert writer.write(LOCAL_OPERATOR, lambda transaction: transaction.revision) == 2


def test_a_unit_that_only_computes_is_refused_at_its_end(writer: Writer, clock: Clock) -> None:
    def compute(_journal: Transaction) -> None:
        clock.seconds += 1

    with pytest.raises(TooMuchWork):
        writer.write(LOCAL_OPERATOR, compute)


def test_a_unit_that_takes_too_long_is_stopped_at_its_next_step(
    writer: Writer, clock: Clock
) -> None:
    steps: list[int] = []

    def greedy(transaction: Transaction) -> None:
        for step in range(100):
            steps.append(step)
            clock.seconds += 0.1
            transaction.connection.execute(text("SELECT 1"))

    with pytest.raises(TooMuchWork):
        writer.write(LOCAL_OPERATOR, greedy)
    assert steps == [0, 1, 2]


def test_what_a_unit_has_to_do_lets_it_take_longer_up_to_four_times(clock: Clock) -> None:
    def allowed(**much: int) -> float:
        clock.seconds = 0
        made = Allowance(250)
        made.count(**much)
        while True:
            clock.seconds += 0.05
            try:
                made.check()
            except TooMuchWork:
                return round(clock.seconds - 0.05, 2)

    assert allowed() == pytest.approx(0.25, abs=0.06)
    assert allowed(changes=100) == pytest.approx(0.5, abs=0.06)
    assert allowed(size=256 << 10) == pytest.approx(0.5, abs=0.06)
    assert allowed(changes=10**6, size=10**9) == pytest.approx(1.0, abs=0.06)


def test_a_changeset_is_refused_as_a_whole_and_the_rest_of_it_is_not_tried(
    writer: Writer, clock: Clock
) -> None:
    tried: list[str] = []

    def act(name: str) -> Callable[[Transaction], versions.WriteResult]:
        def step(transaction: Transaction) -> versions.WriteResult:
            tried.append(name)
            clock.seconds += 0.4
            return put(transaction, name)

        return step

    steps = [Step("", "", name, act(name), literal=True) for name in ("a", "b", "c")]
    with pytest.raises(DistconfError) as found:
        writer.write(LOCAL_OPERATOR, lambda transaction: changesets.publish(transaction, steps))

    assert (found.value.code, tried) == ("too-much-work", ["a"])


def test_the_operations_of_a_patch_are_steps() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise TooMuchWork(250)

    with pytest.raises(TooMuchWork):
        patched({}, [{"op": "add", "path": "/a", "value": 1}] * 9, DocumentLimits(), check)


def test_after_a_long_batch_the_others_have_their_turn(
    writer: Writer, commits: list[BatchStats], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed_config.store.batch._LONGEST", 0.0)
    held, go_on = threading.Event(), threading.Event()

    def hold(_journal: Transaction) -> None:
        held.set()
        go_on.wait(5)

    def unit(name: str) -> Callable[[Transaction], object]:
        return hold if name == "hold" else lambda transaction: put(transaction, name)

    threads = [
        threading.Thread(target=writer.write, args=(LOCAL_OPERATOR, unit(name)))
        for name in ("hold", "a", "b", "c")
    ]
    threads[0].start()
    assert held.wait(5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # all wait behind the first, and so are gathered together
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert sum(commit.units for commit in commits) == 4
    assert len(commits) == 4


def test_over_http_an_import_that_takes_too_long_is_refused_and_on_the_server_it_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "all.json"
    body = "{" + ", ".join(f'"s{i}": {{"n": {i}}}' for i in range(1_500)) + "}"
    file.write_text(body)
    with Server(tmp_path / "instance", workers=1, lock_work_ms=10) as server:
        headers = {"Content-Type": "application/json"}
        refused = server.api.http.post("/api/v1/import", content=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "too-much-work")
        assert "DISTCONF_LOCK_WORK_MS (10)" in refused.json()["detail"]
        assert server.api.changes() == []
        done = server.tell("import", str(file))
        assert done.returncode == 0, done.stderr
        assert len(server.api.changes()) == 3_000


def test_what_the_other_limits_allow_passes(tmp_path: Path) -> None:
    fields = {f"k{i}": {"type": "string"} for i in range(8)}
    rules = {"type": "object", "properties": {**fields, "secret": {"x-secret": True}}}
    with Server(tmp_path / "instance", workers=1) as server:
        api = server.api
        assert api.define("web", rules, indexes=["k0", "k1", "k2", "k3"]).status_code == 201
        for round_ in range(2):
            document = {**{f"k{i}": f"{round_} {i}" for i in range(8)}, "secret": f"{round_}"}
            changes = [{"service": f"s{i}", "document": document} for i in range(500)]
            answer = api.http.post("/api/v1/changesets", json={"changes": changes})
            assert answer.status_code == 200, answer.text
            for i in range(500 if round_ == 0 else 0):
                query = {"service": f"s{i}", "definition": "web"}
                attached = api.http.put("/config", params=query, json=document)
                assert attached.status_code == 200, attached.text
        large = {"list": [f"{i} {'x' * 90}" for i in range(9_000)]}
        marks = {"type": "object", "properties": {"list": {"items": {"x-secret": True}}}}
        assert api.define("marks", marks).status_code == 201
        assert api.put("large", large, definition="marks").status_code == 200
        masked = {"list": [MASK] * 9_000}
        assert api.put("large", masked).json()["changed"] is False


# --- in proportion


def seconds_of(work: Callable[[], object]) -> float:
    """The processor time that ``work`` takes, at the best of three."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found)


@pytest.mark.parametrize("looks", [1, 2, 150])
def test_masked_elements_find_their_partners_in_time_in_proportion_to_their_number(
    looks: int,
) -> None:
    def alike(number: int) -> Callable[[], dict[int, int]]:
        each = number * looks // 300
        elements: list[Any] = [{"key": MASK, "look": i % each} for i in range(number)]
        return lambda: secrets.match_elements(elements, list(elements))

    assert alike(300)() == {i: i for i in range(300)}
    # Eight times as many: eight times as long, and not 64 times.
    assert seconds_of(alike(8_000)) < 24 * seconds_of(alike(1_000))


def test_looking_for_what_is_secret_takes_no_longer_for_more_pointers() -> None:
    value = {"list": [{} for _ in range(20_000)]}

    def find(number: int) -> Callable[[], object]:
        pointers = tuple(("list", "*", f"key{i}") for i in range(number))
        return lambda: list(secrets.find_secrets(value, SecretPaths("", pointers)))

    assert seconds_of(find(100)) < 5 * seconds_of(find(1))


@pytest.mark.parametrize(
    ("pointers", "found"),
    [
        ([("a",)], {("a",)}),
        ([("*",)], {("a",), ("l",), ("*",)}),
        ([("l", "*", "x")], {("l", 0, "x"), ("l", 1, "x")}),
        ([("l", "1"), ("l", "*", "x")], {("l", 0, "x"), ("l", 1)}),
        ([("l", "0", "y"), ("l", "*", "x"), ("*", "0", "z")], {("l", 0, k) for k in "xyz"}),
        ([("nothing", "x"), ("a", "x"), ("l", "7")], set()),
    ],
)
def test_pointers_with_stars_and_names_find_the_same_places_as_one_by_one(
    pointers: list[tuple[str, ...]], found: set[tuple[str | int, ...]]
) -> None:
    value = {"a": 1, "l": [{"x": 1, "y": 2, "z": 3}, {"x": 4}], "*": 5}
    places = {path for path, _ in secrets.find_secrets(value, SecretPaths("", tuple(pointers)))}

    if ("l", 0, "z") in found:
        found |= {("l", 1, "x")}
    assert places == found


def test_a_mask_that_could_be_several_is_unclear_as_before() -> None:
    new, old = [{"k": MASK}, {"k": MASK}], [{"k": MASK}, {"k": MASK}, {"k": MASK}]

    assert secrets.match_elements(new, old) == {}
    assert secrets.match_elements(old, old) == {0: 0, 1: 1, 2: 2}
