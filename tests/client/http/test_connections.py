"""Connections that break, stall and trickle; retries; threads and forks."""

import gc
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Client
from tests.client.conftest import QUICK
from tests.support.needs import need
from tests.support.proxies import Plan, Proxy
from tests.support.scripts import in_thread, printed, script
from tests.support.server import Api, Server
from tests.support.stubs import Stub, document_response, http_response, problem_response
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


WRITES: dict[str, Callable[[Client], Any]] = {
    "put": lambda client: client.put({"n": 2}),
    "merge patch": lambda client: client.patch({"n": 2}),
    "JSON patch": lambda client: client.patch([{"op": "add", "path": "/list/-", "value": 1}]),
    "rollback": lambda client: client.rollback(0),
    "disable": lambda client: client.enable(1, False),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_whose_answer_is_lost_twice_is_done_once(
    client: Client, api: Api, proxy: Proxy, name: str, write: Callable[[Client], Any]
) -> None:
    client.put({"n": 0, "list": []})
    client.put({"n": 1, "list": []})
    before = api.changes()[-1]["revision"]
    proxy.plans += [Plan(after=0), Plan(after=0, stall=True), Plan()]

    with Client(proxy.url, service=name, timeout=0.3, backoff=QUICK) as through:
        written = write(through)

    mine = [each for each in api.changes(before) if each.get("service") == name]
    assert proxy.connections == 3
    assert written.changed
    assert [each["revision"] for each in mine] == [written.revision]


@pytest.mark.parametrize("after", [5, 17, 40, 200, -1])
def test_a_write_is_done_once_wherever_its_answer_is_cut(
    client: Client, api: Api, proxy: Proxy, name: str, after: int
) -> None:
    first = client.put({"list": []})
    proxy.plans.append(Plan(after=after))

    with Client(proxy.url, service=name, backoff=QUICK) as through:
        written = through.patch([{"op": "add", "path": "/list/-", "value": 1}])

    assert client.get().value == {"list": [1]}
    assert (written.version, written.changed) == (first.version + 1, True)


def test_two_writes_of_the_same_are_two_writes(client: Client) -> None:
    client.put({"list": []})
    for _ in range(2):
        client.patch([{"op": "add", "path": "/list/-", "value": 1}])

    assert client.get().value == {"list": [1, 1]}


BROKEN = {
    "cut before the answer": Plan(after=0),
    "cut in the headers": Plan(after=30),
    "cut in the body": Plan(after=50_000),
    "silent": Plan(after=0, stall=True),
    "silent in the body": Plan(after=50_000, stall=True),
}


@pytest.mark.parametrize("plan", BROKEN.values(), ids=BROKEN)
def test_one_retry_is_enough_after_one_broken_connection(
    client: Client, proxy: Proxy, name: str, plan: Plan
) -> None:
    client.put({"text": "x" * 100_000})
    proxy.plans.append(plan)

    with Client(proxy.url, service=name, timeout=0.5, retries=1, backoff=QUICK) as through:
        assert through.get().value == {"text": "x" * 100_000}


@pytest.mark.parametrize("plan", BROKEN.values(), ids=BROKEN)
def test_a_connection_that_broke_is_told_of_and_not_used_again(
    client: Client, proxy: Proxy, name: str, plan: Plan
) -> None:
    client.put({"text": "x" * 100_000})
    proxy.plans.append(plan)

    with Client(proxy.url, service=name, timeout=0.3, retries=0, backoff=QUICK) as through:
        with pytest.raises(errors.Unreachable) as told:
            through.get()
        assert proxy.url in told.value.detail
        assert through.get().version == 0


def test_a_connection_that_ended_while_it_was_idle_costs_no_error(
    client: Client, proxy: Proxy, name: str
) -> None:
    client.put({"n": 0})
    with Client(proxy.url, service=name, retries=1, backoff=QUICK) as through:
        for _ in range(3):
            assert through.get().value == {"n": 0}
            proxy.cut()


def test_a_server_that_says_nothing_costs_the_timeout_and_no_more(proxy: Proxy) -> None:
    proxy.silent = True
    with Client(proxy.url, timeout=0.3, retries=1, backoff=QUICK) as client:
        began = time.monotonic()
        with pytest.raises(errors.Unreachable, match="in time"):
            client.get("web")

    assert 0.6 <= time.monotonic() - began < 10


def test_an_answer_that_only_trickles_ends_with_the_timeout_of_the_attempt(
    client: Client, proxy: Proxy, name: str
) -> None:
    client.put({"n": 0})
    proxy.plans.append(Plan(pause=0.05))  # for some hundred bytes

    with Client(proxy.url, service=name, timeout=0.3, retries=0) as slow:
        began = time.monotonic()
        with pytest.raises(errors.Unreachable):
            slow.get()

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_as_often_as_allowed(status: int) -> None:
    with (
        closing(Stub(problem_response(status, "overloaded"))) as stub,
        Client(stub.url, retries=2, backoff=QUICK) as client,
        pytest.raises(errors.Overloaded),
    ):
        client.get("web")

    assert len(stub.requests) == 3


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    with (
        closing(Stub(problem_response(status, "not-found"))) as stub,
        Client(stub.url, retries=2, backoff=QUICK) as client,
        pytest.raises(errors.NotFound, match=r"It is so\."),
    ):
        client.get("web")

    assert len(stub.requests) == 1


def test_all_attempts_of_a_write_carry_one_key_and_the_next_write_another() -> None:
    done = http_response(200, b'{"version": 1, "current": 1, "changed": true}')
    with (
        closing(Stub(problem_response(503, "overloaded"), http_response(502, b""), done)) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.put({}, "web")
        client.put({}, "web")

    keys = [
        line
        for request in stub.requests
        for line in request.split(b"\r\n")
        if line.startswith(b"Idempotency-Key: ")
    ]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert len(keys[0]) > len("Idempotency-Key: ") + 20


def test_the_server_says_how_long_to_wait_before_the_next_attempt() -> None:
    busy = problem_response(503, "overloaded", Retry_After="1")
    with (
        closing(Stub(busy, document_response(b"{}"))) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.get("web")

    assert 1.0 <= stub.times[1] - stub.times[0] < 5.0


@pytest.mark.parametrize("told", ["soon", "-1", "1e9", "Wed, 21 Oct 2099 07:28:00 GMT", "", " "])
def test_a_time_to_retry_that_cannot_be_read_is_passed_over(told: str) -> None:
    busy = problem_response(503, "overloaded", Retry_After=told)
    with (
        closing(Stub(busy, document_response(b"{}"))) as stub,
        Client(stub.url, backoff=QUICK) as client,
    ):
        client.get("web")

    assert stub.times[1] - stub.times[0] < 3.0


def test_closing_ends_a_question_that_another_thread_waits_for(proxy: Proxy) -> None:
    proxy.silent = True
    client = Client(proxy.url, timeout=30)
    thread, came = in_thread(lambda: client.get("web"))
    assert eventually(lambda: proxy.connections)

    client.close()
    thread.join(3)

    assert not thread.is_alive()
    assert isinstance(came[0], errors.Unreachable)


def test_closing_ends_a_pause_between_two_attempts() -> None:
    with closing(Stub(problem_response(503, "overloaded", Retry_After="30"))) as stub:
        client = Client(stub.url)
        thread, came = in_thread(lambda: client.get("web"))
        assert eventually(lambda: stub.requests)

        client.close()
        thread.join(3)

    assert not thread.is_alive()
    assert isinstance(came[0], errors.Overloaded)


def test_a_client_that_was_closed_asks_nothing_more() -> None:
    with closing(Stub(document_response(b"{}"))) as stub:
        client = Client(stub.url, backoff=QUICK)
        client.close()
        client.close()
        with suppress(Exception):  # which one does not matter here
            client.get("web")
        client.close()

    assert stub.requests == []


def test_eight_threads_share_one_client_and_each_gets_its_own_answer(
    client: Client, name: str
) -> None:
    for i in range(8):
        client.put({"own": i}, f"{name}/{i}")

    def mine(i: int) -> bool:
        return all(client.get(f"{name}/{i}").value == {"own": i} for _ in range(20))

    threads = [in_thread(lambda i=i: mine(i)) for i in range(8)]
    for thread, _ in threads:
        thread.join(20)

    assert [came for _, came in threads] == [[True]] * 8


def open_sockets() -> int:
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            count += "socket" in str(each.readlink())
    return count


def test_threads_that_ended_leave_no_connections_behind(client: Client) -> None:
    need(Path("/proc/self/fd").exists(), "/proc")
    client.put({"n": 0})
    before = open_sockets()

    for _ in range(30):
        thread, _ = in_thread(client.get)
        thread.join(10)
        del thread, _
    gc.collect()

    assert open_sockets() - before < 10


FORKED_CLIENT = """
import json, os, sys
from distributed_config.client import Client
url, name = sys.argv[1:]
client = Client(url, timeout=0.5)
client.get(f"{name}/parent")
def wrong(mine):
    found = []
    for _ in range(50):
        try:
            read = client.get(f"{name}/{mine}").value["own"]
        except Exception as error:
            read = repr(error)
        if read != mine:
            found.append(read)
    return found
child = os.fork()
if child == 0:
    os._exit(min(len(wrong("child")), 100))
print(json.dumps([wrong("parent"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""


def test_parent_and_child_of_a_fork_get_their_own_answers_from_one_client(
    client: Client, server: Server, name: str
) -> None:
    for each in ("parent", "child"):
        client.put({"own": each}, f"{name}/{each}")

    assert printed(script(FORKED_CLIENT, server.url, name)) == [[], 0]
