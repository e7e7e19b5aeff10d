"""Snapshots: whole or not at all, our own or not read."""

import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Client, Config
from distributed_config.client.live.snapshots import Snapshot, Snapshots
from tests.client.conftest import NOBODY, QUICK, Configs
from tests.support.needs import need
from tests.support.proxies import Proxy
from tests.support.scripts import ROOT, printed, script, threads_of
from tests.support.server import Api, Server
from tests.support.snapshots import Model, save_snapshot
from tests.support.stubs import Stub, problem_response
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


TEXT = '{"n": 7, "text": "ü", "list": [1, 2, 3]}'


@pytest.fixture
def kept(tmp_path: Path) -> Snapshots:
    """Snapshots with one of ``web``."""
    made = Snapshots(tmp_path / "cache" / "snapshots", "http://server:5000")
    made.save("web", Snapshot(3, '"3.a.b"', TEXT))
    return made


def test_a_snapshot_comes_back_and_only_its_owner_may_read_it(
    kept: Snapshots, tmp_path: Path
) -> None:
    old = os.umask(0)
    try:
        kept.save("web", Snapshot(4, '"4.a.b"', TEXT))
    finally:
        os.umask(old)

    assert kept.load("web") == Snapshot(4, '"4.a.b"', TEXT)
    assert kept.path("web").stat().st_mode & 0o7777 == 0o600
    assert kept.path("web").parent.stat().st_mode & 0o7777 == 0o700
    assert kept.load("other") is None
    assert [each.name for each in kept.path("web").parent.iterdir()] == [kept.path("web").name]


def test_services_and_servers_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["web", "web/a", "web_a", "ö", "o", "x" * 200, "x" * 199 + "y", "Web"]
    for n, name in enumerate(names):
        for url in ("http://a", "http://b"):
            Snapshots(tmp_path, url).save(name, Snapshot(n, "", json.dumps({url: name})))

    for n, name in enumerate(names):
        for url in ("http://a", "http://b"):
            kept = Snapshots(tmp_path, url)
            assert kept.load(name) == Snapshot(n, "", json.dumps({url: name}))
            assert kept.path(name).parent == tmp_path


def test_no_flipped_bit_anywhere_makes_another_snapshot(
    kept: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "distributed_config")
    path = kept.path("web")
    whole, good = path.read_bytes(), kept.load("web")
    taken = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                found = kept.load("web")
                if found is not None and found != good:
                    taken.append((place, bit, found.version, found.etag))
            os.pwrite(file.fileno(), bytes([byte]), place)

    assert kept.load("web") == good
    assert taken == []


def test_no_part_of_a_snapshot_is_taken_for_the_whole(kept: Snapshots) -> None:
    path = kept.path("web")
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert kept.load("web") is None
    for more in (b" ", b"\n", b"\x00" * 512, whole):
        path.write_bytes(whole + more)
        assert kept.load("web") is None


def spoiled(head: str, body: str = TEXT) -> bytes:
    return f"{head}\n{body}".encode()


HEADS = {
    "empty": b"",
    "zeros": bytes(4_096),
    "no JSON": b"\xff\xfe",
    "an array": spoiled("[]"),
    "null": spoiled("null"),
    "an empty object": spoiled("{}"),
    "very deep": spoiled("[" * 100_000),
}


@pytest.mark.parametrize("data", HEADS.values(), ids=HEADS)
def test_a_snapshot_that_is_something_else_counts_as_not_there(
    kept: Snapshots, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept.path("web").write_bytes(data)

    assert kept.load("web") is None
    assert kept.path("web").name in caplog.text


@pytest.mark.parametrize("version", ["1e999", "null", '"x"', "[]", "{}", "-1", "NaN", "9" * 5000])
def test_a_snapshot_with_an_impossible_version_counts_as_not_there(
    kept: Snapshots, version: str
) -> None:
    path = kept.path("web")
    path.write_bytes(path.read_bytes().replace(b'"version": 3', f'"version": {version}'.encode()))

    assert kept.load("web") is None


def test_a_snapshot_of_another_service_or_server_is_not_taken(
    kept: Snapshots, tmp_path: Path
) -> None:
    shutil.copy(kept.path("web"), kept.path("other"))
    elsewhere = Snapshots(kept.path("web").parent, "http://elsewhere:5000")
    shutil.copy(kept.path("web"), elsewhere.path("web"))

    assert kept.load("other") is None
    assert elsewhere.load("web") is None


def make_link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_a_good_one(path: Path) -> None:
    good = path.with_name("good")
    good.write_bytes(path.with_name("whole").read_bytes())
    good.chmod(0o600)
    path.symlink_to(good)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        old = Path.cwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(old)


OBSTACLES: dict[str, Callable[[Path], Any]] = {
    "a link to a good one": link_to_a_good_one,
    "a link to zeros": make_link("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": make_link("nothing"),
    "a link to a terminal": make_link("/dev/tty"),
    "a fifo": os.mkfifo,
    "a socket": make_socket,
    "a folder": Path.mkdir,
    "a full folder": lambda path: (path / "x").mkdir(parents=True),
}


@pytest.mark.parametrize("place", OBSTACLES.values(), ids=OBSTACLES)
def test_what_lies_in_the_place_of_a_snapshot_is_not_followed_and_does_no_harm(
    client: Client, configs: Configs, tmp_path: Path, name: str, place: Callable[[Path], Any]
) -> None:
    client.put({"n": 0})
    path = save_snapshot(tmp_path, client.transport.url, f"{name}", {"n": "planted"})
    path.rename(path.with_name("whole"))
    place(path)
    target = path.with_name("good")
    before = target.read_bytes() if target.exists() else b""
    descriptors = len(list(Path("/dev/fd").iterdir()))

    assert Snapshots(tmp_path, client.transport.url).load(name) is None
    assert len(list(Path("/dev/fd").iterdir())) <= descriptors
    cfg = configs(snapshots=tmp_path)
    assert cfg["n"] == 0

    assert (target.read_bytes() if target.exists() else b"") == before
    assert path.is_dir() or eventually(lambda: path.lstat().st_mode == 0o100600)
    assert eventually(lambda: not list(tmp_path.glob(".*")))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o622])
def test_a_snapshot_that_others_may_write_to_is_not_taken(kept: Snapshots, mode: int) -> None:
    kept.path("web").chmod(mode)

    assert kept.load("web") is None


def test_a_snapshot_of_another_user_is_not_taken(kept: Snapshots) -> None:
    need(os.geteuid() == 0, "root, to give a file away")
    os.chown(kept.path("web"), NOBODY, NOBODY)

    assert kept.load("web") is None


FOLDERS = ["/dev/full", "/dev/null/x", "/proc/nothing", "/sys", f"/{'x' * 300}", "a\0b"]


@pytest.mark.parametrize("folder", FOLDERS, ids=ascii)
def test_a_folder_that_cannot_be_stops_nothing(
    client: Client, configs: Configs, folder: str
) -> None:
    kept = Snapshots(Path(folder), client.transport.url)
    kept.save("web", Snapshot(0, "", TEXT))
    assert kept.load("web") is None
    client.put({"n": 0})

    cfg = configs(snapshots=folder)

    assert (cfg["n"], cfg.source, cfg.problem) == (0, "server", None)
    client.put({"n": 1})
    assert cfg.wait_for(1, 5)


LOCKED = """
import json, logging, os, sys, tempfile
from pathlib import Path
from distributed_config.client import Client, Config
from distributed_config.client.live.snapshots import Snapshots
url, name, mode, nobody = sys.argv[1], sys.argv[2], int(sys.argv[3], 8), int(sys.argv[4])
Client(url).get(name)  # what is loaded only now cannot be read afterwards
Snapshots(Path("/nowhere"), "")
if os.geteuid() == 0:
    os.setgid(nobody)
    os.setuid(nobody)
with tempfile.TemporaryDirectory() as folder:
    inner = Path(folder, "snapshots")
    Config(name, url=url, snapshots=inner).close()
    before = sorted(each.name for each in inner.iterdir())
    inner.chmod(mode)
    with Config(name, url=url, snapshots=inner) as cfg, Client(url, service=name) as client:
        version = client.put({"n": mode + 1}).version
        followed = cfg.wait_for(version, 5)
    away = Config(name, url=url, snapshots=inner, deadline=0, defaults={"n": -1})
    away.close()
    inner.chmod(0o700)
    after = sorted(each.name for each in inner.iterdir())
print(json.dumps([followed, len(before), before == after, away.source != "nothing"]))
"""


@pytest.mark.parametrize("mode", ["500", "300", "000"], ids=["read-only", "unlisted", "locked"])
def test_a_folder_that_is_locked_stops_nothing(
    client: Client, server: Server, name: str, mode: str
) -> None:
    client.put({"n": 0})

    done = script(LOCKED, server.url, name, mode, str(NOBODY))

    assert printed(done) == [True, 1, True, True]
    if mode != "300":
        assert "cannot be saved" in done.stderr


def test_a_user_without_a_home_starts_as_well(client: Client, server: Server, name: str) -> None:
    need(os.geteuid() == 0, "root, to become a user that nobody knows")
    text = """
import json, os, sys
from distributed_config.client import Config
import distributed_config.client.live.config, distributed_config.client.live.snapshots
import encodings.idna, pwd
os.setgid(54321)
os.setuid(54321)
with Config(sys.argv[2], url=sys.argv[1]) as cfg:
    print(json.dumps(cfg["n"]))
"""
    client.put({"n": 0})
    hidden = {"HOME", "XDG_CACHE_HOME", "DISTCONF_SNAPSHOTS"}
    homeless = {key: value for key, value in os.environ.items() if key not in hidden}

    assert printed(script(text, server.url, name, env=homeless)) == 0


def test_the_folder_is_the_one_of_the_environment(
    client: Client, server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    for variable, value, folder in [
        ("XDG_CACHE_HOME", tmp_path / "xdg", tmp_path / "xdg" / "distconf"),
        ("DISTCONF_SNAPSHOTS", tmp_path / "own", tmp_path / "own"),
    ]:
        monkeypatch.setenv(variable, str(value))
        Config(name, url=server.url).close()
        assert len(list(folder.iterdir())) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, gone at the end whatever happens."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False)
    need(mounted.returncode == 0, "the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_full_disk_the_last_snapshot_stays_whole_and_updates_go_on(
    client: Client, configs: Configs, tiny_disk: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs(snapshots=tiny_disk)
    kept = Snapshots(tiny_disk, client.transport.url)
    assert eventually(lambda: kept.load(name))

    client.put({"n": 1, "text": "x" * 100_000})
    assert cfg.wait_for(1, 5)
    assert eventually(lambda: "cannot be saved" in caplog.text)
    assert (cfg["n"], cfg.problem) == (1, None)
    last = kept.load(name)
    assert last is not None
    assert (last.version, json.loads(last.text)) == (0, {"n": 0})
    assert len(list(tiny_disk.iterdir())) == 1
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)
    assert eventually(lambda: kept.load(name) == Snapshot(2, client.get().etag, '{"n": 2}'))


WRITER = """
import itertools, sys
from pathlib import Path
from distributed_config.client.live.snapshots import Snapshot, Snapshots
kept = Snapshots(Path(sys.argv[1]), "http://server")
print("ready", flush=True)
for n in itertools.count(int(sys.argv[2])):
    text = '{"n": %d, "text": "%s"}' % (n, str(n % 10) * (n * 7919 % 300_000))
    kept.save("web", Snapshot(n, f'"{n}"', text))
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_snapshot(tmp_path: Path) -> None:
    kept, last = Snapshots(tmp_path, "http://server"), -1
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(last + 1)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0.005, 0.06))
            process.send_signal(signal.SIGKILL)
        found = kept.load("web")
        if found is None:
            assert last == -1
            assert not kept.path("web").exists()
            continue
        assert found.version >= last
        assert json.loads(found.text)["n"] == found.version
        last = found.version
    assert last > 5


def test_a_document_that_the_application_rejects_is_not_what_it_starts_from(
    client: Client, configs: Configs, proxy: Proxy, tmp_path: Path
) -> None:
    client.put({"n": 0})
    cfg = configs(url=proxy.url, snapshots=tmp_path)
    cfg.bind(Model)
    client.put({"n": 1})
    assert eventually(lambda: cfg.problem)
    cfg.close()
    proxy.refuse()

    again = configs(url=proxy.url, snapshots=tmp_path, deadline=0)

    assert (again["n"], again.source) == (0, "snapshot")
    assert again.bind(Model).value.n == 0


def test_a_start_while_a_rejected_document_is_current_begins_with_the_last_good_one(
    client: Client, configs: Configs, tmp_path: Path
) -> None:
    client.put({"n": 0})
    configs(snapshots=tmp_path, bind=Model).close()
    client.put({"n": 1})

    for _ in range(2):  # the second would tell if the first had overwritten the snapshot
        again = configs(snapshots=tmp_path, bind=Model)
        assert (again["n"], again.source) == (0, "snapshot")
        assert isinstance(again.problem, errors.Rejected)
        again.close()

    with configs(snapshots=tmp_path, bind=Model) as last:
        client.put({"n": 2})
        assert last.wait_for(2, 5)
        assert last.bind(Model).value.n == 2


def test_a_snapshot_that_does_not_fit_is_passed_over(
    proxy: Proxy, configs: Configs, name: str, tmp_path: Path
) -> None:
    save_snapshot(tmp_path, proxy.url, name, {"n": 1})
    proxy.refuse()

    cfg = configs(url=proxy.url, snapshots=tmp_path, deadline=0.1, bind=Model, defaults={"n": 5})

    assert (cfg.bind(Model).value.n, cfg.source) == (5, "defaults")


def test_defaults_that_do_not_fit_are_told_at_once(proxy: Proxy, configs: Configs) -> None:
    proxy.refuse()
    with pytest.raises(errors.Rejected, match="one is not allowed"):
        configs(url=proxy.url, deadline=0, bind=Model, defaults={"n": 1})


WRONG_DEFAULTS: dict[str, Any] = {"do not fit": {"n": 1}, "are a list": [1], "are text": "n"}


@pytest.mark.parametrize("wrong", WRONG_DEFAULTS.values(), ids=WRONG_DEFAULTS)
@pytest.mark.parametrize("reachable", [True, False])
def test_wrong_defaults_are_told_whether_or_not_they_are_needed(
    client: Client, configs: Configs, nowhere: str, wrong: Any, reachable: bool
) -> None:
    client.put({"n": 0})
    url = {} if reachable else {"url": nowhere}

    with pytest.raises((errors.Rejected, errors.Invalid)):
        configs(bind=Model, defaults=wrong, deadline=0.2, **url)

    assert not threads_of(client.service or "")


def test_drafts_that_were_never_finished_are_removed_at_the_next_start(
    configs: Configs, client: Client, tmp_path: Path, name: str
) -> None:
    client.put({"n": 0})
    path = Snapshots(tmp_path, client.transport.url).path(name)
    old, fresh = (path.with_name(f".{path.name}.{digit * 12}") for digit in "ab")
    for each in (old, fresh):
        each.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)

    Snapshots(tmp_path, client.transport.url).load(name)

    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_config_waits_for_as_long_as_an_overloaded_server_asks_it_to() -> None:
    answer = problem_response(503, "overloaded", **{"Retry-After": "1"})
    with closing(Stub(answer)) as stub:
        cfg = Config("web", url=stub.url, snapshots=False, defaults={}, deadline=0, backoff=QUICK)
        assert eventually(lambda: stub.requests)
        time.sleep(0.8)
        asked = len(stub.requests)
        assert eventually(lambda: len(stub.requests) == 2)
        cfg.close()

    assert asked == 1


def test_a_folder_that_was_emptied_is_made_anew(
    client: Client, configs: Configs, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "a" / "b"
    kept = Snapshots(folder, client.transport.url)
    client.put({"n": 0})
    configs(snapshots=folder)
    assert eventually(lambda: kept.load(name))
    shutil.rmtree(tmp_path / "a")

    client.put({"n": 1})

    assert eventually(lambda: kept.load(name))


def test_what_was_filled_in_is_not_taken_for_the_document_itself(
    client: Client, configs: Configs, api: Api, proxy: Proxy, name: str, tmp_path: Path
) -> None:
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer", "default": 1}}})
    client.put({"x": 1}, definition=name)
    for fill in (True, False):
        cfg = configs(url=proxy.url, snapshots=tmp_path, fill_defaults=fill)
        assert ("port" in cfg) is fill
        cfg.close()
    proxy.refuse()

    filled = configs(url=proxy.url, snapshots=tmp_path, fill_defaults=True, deadline=0.1)

    assert filled.source == "snapshot"
    assert filled.get("port") == 1
