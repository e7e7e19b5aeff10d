"""Binding a configuration to types of the application's own."""

import enum
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

import distributed_config.client.live.binding as binding_module
import distributed_config.client.live.config as config_module
from distributed_config import errors
from distributed_config.client import Client, Config
from distributed_config.client.http.messages import Request, Response
from distributed_config.client.http.transport import Transport
from tests.client.conftest import Configs
from tests.support.proxies import Proxy
from tests.support.scripts import in_thread
from tests.support.snapshots import Model, save_snapshot
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Pool:
    size: int
    wait: float = 1.5

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be positive")


@dataclass(frozen=True)
class App:
    name: str
    pool: Pool
    level: Level = Level.LOW
    mode: Literal["a", "b", 1] = "a"
    hosts: list[str] = field(default_factory=list)
    pools: dict[str, Pool] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    spare: Pool | None = None
    either: int | str = 0
    deep: list[dict[str, list[Pool]]] = field(default_factory=list)
    anything: Any = None
    rate: float = 0.0
    flag: bool = False
    made: int = field(default=7, init=False)


FULL = {
    "name": "n",
    "pool": {"size": 1},
    "level": "high",
    "mode": "b",
    "hosts": ["a", "b"],
    "pools": {"x/y": {"size": 2, "wait": 3}},
    "pair": [1, "x"],
    "many": [1, 2, 3],
    "spare": {"size": 3},
    "either": "text",
    "deep": [{"k": [{"size": 4}]}],
    "anything": {"a": [None]},
    "rate": 1,
    "flag": True,
    "unknown": {"to": "us"},
    "made": 9,
}


def test_a_dataclass_takes_what_its_fields_name(client: Client, configs: Configs) -> None:
    client.put(FULL)

    app = configs().bind(App).value

    assert app == App(
        name="n",
        pool=Pool(1, 1.5),
        level=Level.HIGH,
        mode="b",
        hosts=["a", "b"],
        pools={"x/y": Pool(2, 3.0)},
        pair=(1, "x"),
        many=(1, 2, 3),
        spare=Pool(3),
        either="text",
        deep=[{"k": [Pool(4)]}],
        anything={"a": [None]},
        rate=1.0,
        flag=True,
    )
    assert (type(app.rate), type(app.pools["x/y"].wait), app.made) == (float, float, 7)


def test_what_is_left_out_has_the_defaults_of_the_dataclass(
    client: Client, configs: Configs
) -> None:
    client.put({"name": "n", "pool": {"size": 1}, "spare": None})

    assert configs().bind(App).value == App(name="n", pool=Pool(1))


def test_every_fault_is_told_with_its_place(client: Client, configs: Configs) -> None:
    client.put(
        {
            "pool": {"size": 0},
            "level": "middle",
            "mode": "c",
            "hosts": ["a", 1, None],
            "pools": {"x/y": {"size": "1"}},
            "pair": [1],
            "many": [1, 1.5],
            "spare": {"size": True},
            "either": [],
            "deep": [{"k": [{"size": 4}, {}]}],
            "rate": "1",
            "flag": 1,
        }
    )

    with pytest.raises(errors.Rejected) as told:
        configs().bind(App)

    assert sorted(each.pointer for each in told.value.problems) == [
        "/deep/0/k/1/size",
        "/either",
        "/flag",
        "/hosts/1",
        "/hosts/2",
        "/level",
        "/many/1",
        "/mode",
        "/name",
        "/pair",
        "/pool",
        "/pools/x~1y/size",
        "/rate",
        "/spare/size",
    ]
    health_reports = {each.pointer: each.message for each in told.value.problems}
    assert "size must be positive" in health_reports["/pool"]
    assert "missing" in health_reports["/name"]
    assert "'low'" in health_reports["/level"]
    assert "13 more" in told.value.detail


def fault_of(kind: Any, document: Any, configs: Configs) -> list[str]:
    """The pointers that are told of when ``document`` is to be a ``kind``; none if it fits."""
    cfg = configs("no/service", defaults=document)
    try:
        cfg.bind(kind)
    except errors.Rejected as error:
        return [each.pointer for each in error.problems] or [""]
    return []


@dataclass
class Strict:
    number: Literal[1, 2] = 1
    level: "Digit | None" = None


class Digit(enum.Enum):
    ONE = 1


def test_true_is_not_taken_for_one(configs: Configs) -> None:
    assert fault_of(Strict, {"number": 1, "level": 1}, configs) == []
    assert fault_of(Strict, {"number": True}, configs) == ["/number"]
    assert fault_of(Strict, {"level": True}, configs) == ["/level"]
    assert fault_of(Pool, {"size": True}, configs) == ["/size"]
    assert fault_of(Pool, {"size": 1, "wait": True}, configs) == ["/wait"]


def test_a_number_too_large_for_its_type_is_a_fault_like_others(configs: Configs) -> None:
    assert fault_of(Pool, {"size": 1, "wait": 10**400}, configs) == ["/wait"]


@dataclass
class Asserting:
    n: int

    def __post_init__(self) -> None:
        if self.n == 1:
            raise AssertionError("one is not allowed")
        {0: 1, 2: 1}[self.n]


@pytest.mark.parametrize("kind", [Model, Asserting])
def test_a_document_that_the_application_rejects_keeps_the_last_good_one(
    client: Client, configs: Configs, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    bound = cfg.bind(kind)
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append(new["n"]))

    client.put({"n": 1})
    assert eventually(lambda: cfg.problem is not None)

    assert isinstance(cfg.problem, errors.Rejected)
    assert "one is not allowed" in cfg.problem.detail
    assert (cfg["n"], cfg.version, bound.value.n) == (0, 0, 0)
    assert eventually(
        lambda: any("one is not allowed" in each.getMessage() for each in caplog.records)
    )
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)
    assert eventually(lambda: cfg.problem is None)
    assert (cfg["n"], bound.value.n, told) == (2, 2, [2])


def test_a_binding_that_the_present_document_does_not_fit_is_not_made(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 1})
    cfg = configs()

    with pytest.raises(errors.Rejected, match="one is not allowed"):
        cfg.bind(Model)
    client.put({"n": 1, "x": 1})

    assert cfg.wait_for(1, 5)


def test_of_two_bindings_both_must_take_a_document_or_neither_does(
    client: Client, configs: Configs
) -> None:
    client.put({"size": 1, "n": 0})
    cfg = configs()
    pool, model = cfg.bind(Pool), cfg.bind(Model)

    client.put({"size": 2, "n": 1})
    assert eventually(lambda: cfg.problem)
    assert (pool.value.size, model.value.n) == (1, 0)
    client.put({"size": 3, "n": 3})
    assert cfg.wait_for(2, 5)
    assert (pool.value.size, model.value.n) == (3, 3)


def test_the_reason_of_a_rejection_stays_for_as_long_as_the_document_is_current(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_LONG_POLL", 1.0)
    client.put({"n": 0})
    cfg = configs()
    cfg.bind(Model)
    client.put({"n": 1})
    assert eventually(lambda: cfg.problem)

    forgotten = eventually(lambda: cfg.problem is None, 2.5)

    assert cfg["n"] == 0
    assert not forgotten
    # What is read is not what the server has: nobody confirmed it since.
    assert cfg.age is not None
    assert cfg.age > 2.4


def test_the_reason_of_a_rejection_comes_back_after_an_outage(
    client: Client, configs: Configs, proxy: Proxy
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url)
    cfg.bind(Model)
    client.put({"n": 1})
    assert eventually(lambda: isinstance(cfg.problem, errors.Rejected))

    proxy.refuse()
    assert eventually(lambda: isinstance(cfg.problem, errors.Unreachable))
    proxy.resume()

    assert eventually(lambda: isinstance(cfg.problem, errors.Rejected))
    assert cfg["n"] == 0


def test_a_question_is_given_more_time_than_the_server_may_hold_it(
    client: Client,
    configs: Configs,
    proxy: Proxy,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, float]] = []
    ask = Transport.send

    def note(transport: Transport, request: Request) -> Response:
        held = float(request.headers.get("Prefer", "wait=0").removeprefix("wait="))
        asked.append((held, request.timeout or transport.timeout))
        return ask(transport, request)

    monkeypatch.setattr(Transport, "send", note)
    save_snapshot(tmp_path, proxy.url, name, {"n": 0})
    client.put({"n": 1})
    proxy.refuse()
    cfg = configs(url=proxy.url, snapshots=tmp_path, deadline=0.1)
    cfg.bind(Model)  # the first document that comes from the server is rejected
    proxy.resume()
    assert eventually(lambda: isinstance(cfg.problem, errors.Rejected))
    assert eventually(lambda: asked[-1][0] > 0)

    assert not [(held, timeout) for held, timeout in asked if timeout <= held]
    client.put({"n": 2})
    assert cfg.wait_for(1, 5)


@dataclass
class Node:
    v: int
    child: "Node | None" = None


def test_a_document_too_deep_for_the_program_is_rejected_for_as_long_as_it_is_current(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "_LONG_POLL", 0.5)
    client.put({"v": 0})
    cfg = configs()
    cfg.bind(Node)
    deep: dict[str, Any] = {"v": 1}
    for _ in range(60):
        deep = {"v": 1, "child": deep}
    convert = binding_module._convert
    # As if the stack were shorter; how deep it is differs between versions of Python.
    monkeypatch.setattr(binding_module, "_convert", partial(shallow, convert))
    client.put(deep)
    assert eventually(lambda: cfg.problem)

    assert not eventually(lambda: cfg.problem is None, 1.2)
    assert isinstance(cfg.problem, errors.Rejected)
    assert (cfg["v"], cfg.version) == (0, 0)


def shallow(convert: Callable[..., Any], kind: Any, value: Any, pointer: str, told: Any) -> Any:
    if pointer.count("/") > 40:
        raise RecursionError
    return convert(kind, value, pointer, told)


def test_what_could_not_be_taken_for_whatever_reason_is_asked_for_again(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    fitted, broken = Config._bind_all, threading.Event()
    broken.set()

    def fail(self: Config, value: Any) -> Any:
        if broken.is_set():
            raise MemoryError
        return fitted(self, value)

    monkeypatch.setattr(Config, "_bind_all", fail)
    client.put({"n": 1})
    assert eventually(lambda: cfg.problem)
    assert not eventually(lambda: cfg.problem is None, 0.5)
    assert cfg["n"] == 0

    broken.clear()

    assert cfg.wait_for(1, 5)
    assert eventually(lambda: (cfg.problem, cfg["n"]) == (None, 1))


class Slow:
    """A model that takes its time the first time."""

    began = threading.Event()
    go_on = threading.Event()

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> "Slow":
        cls.began.set()
        assert cls.go_on.wait(10)
        return cls(value["n"])


def test_a_document_that_comes_while_a_binding_is_made_is_bound_as_well(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    thread, came = in_thread(lambda: cfg.bind(Slow))
    assert Slow.began.wait(5)

    client.put({"n": 1})
    cfg.wait_for(1, 0.5)
    Slow.go_on.set()
    thread.join(5)

    assert cfg.wait_for(1, 5)
    assert eventually(lambda: came[0].value.n == 1)
