"""The end of a ``Config``: by ``close``, by garbage collection, at exit, and over forks."""

import gc
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import distributed_config.client.live.config as config_module
from distributed_config.client import Backoff, Client, Config
from tests.client.conftest import QUICK
from tests.support.proxies import Proxy
from tests.support.scripts import in_thread, printed, script, threads_of
from tests.support.server import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


ENDINGS = ["held", "silent", "away", "pausing"]


@pytest.mark.parametrize("how", ENDINGS)
def test_closing_ends_the_background_quickly_and_reads_go_on(
    client: Client, proxy: Proxy, name: str, how: str
) -> None:
    client.put({"n": 0})
    slow = Backoff(first=30.0, most=30.0)
    cfg = Config(name, url=proxy.url, snapshots=False, backoff=slow if how == "pausing" else QUICK)
    if how == "silent":
        proxy.silent = True
    elif how in {"away", "pausing"}:
        proxy.refuse()
        assert eventually(lambda: cfg.problem)
    assert threads_of(name)

    began = time.monotonic()
    cfg.close()
    cfg.close()

    assert time.monotonic() - began < 5
    assert eventually(lambda: not threads_of(name))
    assert (cfg["n"], cfg.get("n"), cfg.version) == (0, 0, 0)


def test_closing_just_before_a_question_ends_it_as_well(
    client: Client, proxy: Proxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = Config(name, url=proxy.url, snapshots=False, backoff=QUICK)
    transport = cfg._client.transport
    arrived, go_on = threading.Event(), threading.Event()
    connect = transport._open_connection

    def hesitate() -> Any:
        arrived.set()
        go_on.wait(5)
        return connect()

    monkeypatch.setattr(transport, "_open_connection", hesitate)
    proxy.cut()
    assert arrived.wait(5)
    closing_it, _ = in_thread(cfg.close)
    assert eventually(cfg._closed.is_set)
    proxy.silent = True
    go_on.set()

    assert eventually(lambda: not threads_of(name))
    closing_it.join(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_configuration_that_nobody_holds_ends_its_background(
    client: Client, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_LONG_POLL", 1.0)
    client.put({"n": 0})
    cfg = Config(name, url=server.url, snapshots=False, backoff=QUICK)
    gone = weakref.ref(cfg)
    assert threads_of(name)

    del cfg
    gc.collect()

    assert eventually(lambda: not threads_of(name))
    assert gone() is None


def test_a_configuration_that_nobody_holds_leaves_quietly(server: Server, client: Client) -> None:
    text = """
import gc, sys, threading, time
import distributed_config.client.live.config as module
module._LONG_POLL = 1.0
cfg = module.Config(sys.argv[2], url=sys.argv[1], snapshots=False)
del cfg
gc.collect()
deadline = time.monotonic() + 5
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
"""
    client.put({"n": 0})

    done = script(text, server.url, client.service or "", env={**os.environ, "PYTHONDEVMODE": "1"})

    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_does_not_close_ends_at_once_and_quietly(
    client: Client, server: Server, name: str
) -> None:
    text = """
import sys, time
from distributed_config.client import Config
cfg = Config(sys.argv[2], url=sys.argv[1], snapshots=False)
print(cfg["n"])
"""
    client.put({"n": 0})
    began = time.monotonic()

    done = script(text, server.url, name)

    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert time.monotonic() - began < 10


FORKED = """
import json, os, sys, threading, time
from distributed_config.client import Client, Config
url, name = sys.argv[1:]
cfg = Config(name, url=url, snapshots=False)
told = []
cfg.on_change(lambda new, old: told.append(new), pointer="/n")
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        with Client(url, service=name) as client:
            good = cfg.wait_for(1, 5) and cfg["n"] == 1 and cfg.problem is None
            good = good and threading.active_count() == 2
            deadline = time.monotonic() + 5
            while not told and time.monotonic() < deadline:
                time.sleep(0.005)
            good = good and told == [1]
            cfg.close()
            good = good and threading.active_count() == 1
        os._exit(0 if good else 1)
    children.append(child)
with Client(url, service=name) as client:
    client.put({"n": 1})
    parent = cfg.wait_for(1, 5) and cfg["n"] == 1
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    client.put({"n": 2})
    print(json.dumps([parent, ended, cfg.wait_for(2, 5)]))
"""


def test_parent_and_children_of_a_fork_all_go_on(client: Client, server: Server, name: str) -> None:
    client.put({"n": 0})

    assert printed(script(FORKED, server.url, name)) == [True, [0, 0, 0], True]


FORKED_MIDWAY = """
import json, os, sys, threading, time
from distributed_config.client import Client, Config
url, name = sys.argv[1:]
parent, entered = os.getpid(), threading.Event()
class Careful:
    @classmethod
    def model_validate(cls, value):
        if value["n"] == 1 and os.getpid() == parent:
            entered.set()
            time.sleep(0.5)
        return value
cfg = Config(name, url=url, snapshots=False)
cfg.bind(Careful)
with Client(url, service=name) as client:
    client.put({"n": 1})
assert entered.wait(5)
child = os.fork()
good = cfg.wait_for(1, 5) and cfg["n"] == 1
if child == 0:
    os._exit(0 if good else 1)
print(json.dumps([good, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""


def test_a_child_forked_while_a_document_is_taken_takes_it_as_well(
    client: Client, server: Server, name: str
) -> None:
    client.put({"n": 0})

    assert printed(script(FORKED_MIDWAY, server.url, name)) == [True, 0]


FORKED_WITHOUT_A_FILE = """
import json, os, sys, warnings
from distributed_config.client import Client, Config
url, name, file = sys.argv[1:]
writer = Client(url, token="", service=name)
os.environ["DISTCONF_TOKEN_FILE"] = file
cfg = Config(name, url=url, snapshots=False)
os.unlink(file)
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, from 3.12
child = os.fork()
if child == 0:
    os._exit(0 if cfg.wait_for(1, 5) else 1)
writer.put({"n": 1})
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def test_a_child_goes_on_though_the_tokens_file_has_gone(
    client: Client, server: Server, name: str, tmp_path: Path
) -> None:
    client.put({"n": 0})
    (tmp_path / "token").write_text("")

    done = script(FORKED_WITHOUT_A_FILE, server.url, name, str(tmp_path / "token"))

    assert (printed(done), done.stderr) == (0, "")
