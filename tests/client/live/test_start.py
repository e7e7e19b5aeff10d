"""The start of a ``Config`` where no server answers."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Client, Config
from tests.client.conftest import QUICK, Configs
from tests.support.proxies import Plan, Proxy
from tests.support.scripts import threads_of
from tests.support.stubs import (
    FOREIGN,
    Stub,
    document_response,
    problem_response,
    unresponsive_address,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


# --- Config: starting without a server


def test_without_a_server_it_starts_from_the_snapshot(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    configs(url=proxy.url, snapshots=tmp_path).close()
    proxy.refuse()

    cfg = configs(url=proxy.url, snapshots=tmp_path, defaults={"n": -1}, deadline=0.2)

    assert (cfg["n"], cfg.version, cfg.source) == (1, 1, "snapshot")
    assert isinstance(cfg.problem, errors.Unreachable)
    assert (cfg.age, cfg.stale) == (None, True)
    proxy.resume()
    assert eventually(lambda: cfg.source == "server")
    assert (cfg.problem, cfg.stale) == (None, False)


def test_without_a_server_and_a_snapshot_it_starts_from_the_defaults(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    proxy.refuse()
    cfg = configs(url=proxy.url, snapshots=tmp_path, defaults={"n": -1}, deadline=0.2)
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append((new, old)), pointer="/n")

    assert (cfg["n"], cfg.version, cfg.source) == (-1, None, "defaults")
    proxy.resume()
    assert eventually(lambda: cfg.source == "server")
    assert eventually(lambda: told == [(0, -1)])


def test_defaults_may_hold_what_json_does_not(client: Client, configs: Configs) -> None:
    cfg = configs(defaults={"folder": Path("x"), "names": {"a"}, "n": -1})
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append((new, old["folder"])))
    assert cfg["folder"] == Path("x")

    client.put({"folder": "y"})

    assert eventually(lambda: told == [({"folder": "y"}, Path("x"))])
    assert cfg.problem is None


def test_empty_defaults_are_defaults(configs: Configs, nowhere: str) -> None:
    assert configs(url=nowhere, defaults={}, deadline=0).source == "defaults"


UNREACHABLE = ["refused", "silent", "trickling", "garbled", "missing"]


@pytest.mark.parametrize(
    ("how", "defaults"),
    [*((how, None) for how in [*UNREACHABLE, "deaf"]), *((how, {"n": -1}) for how in UNREACHABLE)],
)
def test_the_start_never_takes_longer_than_its_deadline(
    client: Client, proxy: Proxy, name: str, how: str, defaults: Any
) -> None:
    client.put({"n": 0})
    proxy.plans += [Plan(pause=0.05)] * 9 if how == "trickling" else []
    proxy.silent = how == "silent"
    if how == "refused":
        proxy.refuse()
    service = f"{name}/no" if how == "missing" else name
    with closing(Stub(FOREIGN["junk"])) as stub, unresponsive_address() as deaf:
        url = {"deaf": deaf, "garbled": stub.url}.get(how, proxy.url)
        given = {"url": url, "snapshots": False, "deadline": 0.3, "backoff": QUICK}
        began = time.monotonic()
        if defaults is None:
            with pytest.raises(errors.NeverLoaded, match=service) as told:
                Config(service, **given)
            took = time.monotonic() - began
            assert len(told.value.detail) > 100  # it has the reason
        else:
            cfg = Config(service, **given, defaults=defaults)
            took = time.monotonic() - began
            assert cfg["n"] == -1
            began = time.monotonic()
            cfg.close()
            assert time.monotonic() - began < 5
        # Only the kernel can end what it began with the deaf.
        assert how == "deaf" or eventually(lambda: not threads_of(service))

    assert took < 5


def test_a_server_that_is_busy_for_a_moment_is_waited_for_until_the_deadline() -> None:
    with closing(Stub(problem_response(503, "overloaded"), document_response(b'{"n": 1}'))) as stub:
        cfg = Config("web", url=stub.url, snapshots=False, backoff=QUICK)
        cfg.close()

    assert (cfg["n"], cfg.source) == (1, "server")


@pytest.mark.parametrize("what", FOREIGN)
def test_whatever_answers_instead_of_a_server_a_live_configuration_stays_as_it_is(
    what: str,
) -> None:
    with closing(Stub(FOREIGN[what])) as stub:
        cfg = Config(
            "web",
            url=stub.url,
            snapshots=False,
            defaults={"n": 1},
            deadline=0.1,
            backoff=QUICK,
        )
        with closing(cfg):
            assert eventually(lambda: cfg.problem)
            assert cfg.value == {"n": 1}
            assert cfg["n"] == cfg.get("n") == 1
            assert cfg.source == "defaults"
            assert cfg.stale
