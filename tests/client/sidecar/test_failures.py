"""A sidecar whose server, disk, plan or process fails."""

import http.client
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.needs import need
from tests.support.proxies import Gate
from tests.support.server import Api, Server, free_port
from tests.support.shells import (
    DONE,
    REFUSED,
    Running,
    Shell,
    health_reports,
    health_status,
    holds,
    large,
    lines_of,
    probe,
    reading,
    text_of,
)
from tests.support.stubs import (
    unresponsive_address,
)
from tests.support.waiting import until


def test_a_sidecar_waits_for_its_server_and_outlives_its_loss(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"n": 1})
    gate.shut()
    shell.url = gate.url
    file, port = shell.home / "app.json", free_port()
    plan = {"deadline": 0.2, "health": f"127.0.0.1:{port}"}

    with shell.sidecar({"service": name, "file": str(file)}, **plan) as running:
        running.until(lambda: health_status(port) == 503)
        gate.open()
        running.until(lambda: holds(file, {"n": 1}), 30)
        running.until(lambda: health_status(port) == 200)
        for number in (2, 3):
            gate.shut()
            api.put(name, {"n": number})
            running.until(lambda: "cannot be reached" in health_reports(port)[0]["problem"])
            assert health_status(port) == 200
            assert holds(file, {"n": number - 1})
            gate.open()
            running.until(lambda n=number: holds(file, {"n": n}), 30)
            running.until(lambda: health_reports(port)[0]["problem"] == "")


def test_a_sidecar_that_starts_without_its_server_leaves_the_file_that_is_there(
    shell: Shell, name: str, nowhere: str
) -> None:
    file, port = shell.home / "app.json", free_port()
    file.write_text('{"n": "of an earlier run"}')
    shell.url = nowhere

    with shell.sidecar(
        {"service": name, "file": str(file)}, deadline=0.2, health=f"127.0.0.1:{port}"
    ) as running:
        running.until(lambda: health_status(port) == 200)

        assert holds(file, {"n": "of an earlier run"})
        assert json.loads(probe(port, "/healthz")[1])["targets"][0]["stale"]


def test_once_is_0_when_all_is_written_and_1_when_not(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    good = {"service": name, "file": str(shell.home / "good.json")}
    absent = {"service": f"{name}-absent", "file": str(shell.home / "absent.json")}
    refused = {**good, "file": str(shell.home / "refused.json"), "check": "false"}

    assert shell.once(good).returncode == DONE
    assert shell.once(good, absent).returncode == REFUSED
    assert shell.once(good, refused).returncode == REFUSED
    assert not (shell.home / "refused.json").exists()
    assert "Traceback" not in shell.once(absent, refused).stderr


def test_once_that_is_ended_before_all_is_written_does_not_say_that_it_is(
    shell: Shell, name: str
) -> None:
    with unresponsive_address() as shell.url:
        plan = shell.write_plan({"service": name, "file": str(shell.home / "app.json")})
        with shell.started("sidecar", "--once", "-c", str(plan)) as running:
            running.until_it_handles(signal.SIGTERM)
            running.send(signal.SIGTERM)

            assert running.wait(3) != DONE


@pytest.mark.parametrize("way", ["nobody there", "no answer"])
def test_once_gives_up_at_its_deadline(shell: Shell, name: str, nowhere: str, way: str) -> None:
    targets = [
        {"service": f"{name}-{number}", "file": str(shell.home / f"{number}.yaml")}
        for number in range(5)
    ]
    old = shell.home / "0.yaml"
    old.touch()
    with ExitStack() as stack:
        shell.url = (
            nowhere if way == "nobody there" else stack.enter_context(unresponsive_address())
        )
        began = time.monotonic()
        ran = shell.once(*targets, deadline=1)
        alone = shell.once(targets[0], deadline=0.1)

    assert ran.returncode == REFUSED
    assert 1 <= time.monotonic() - began < 10
    assert all(f"{each['file']} is not written" in ran.stderr for each in targets)
    # A file that is there is not yet the one that was asked for.
    assert (alone.returncode, text_of(old)) == (REFUSED, "")


def test_healthz_tells_of_every_target_and_of_nothing_else(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    port = free_port()
    targets = [
        {"service": name, "file": str(shell.home / "good.json")},
        {"service": f"{name}-absent", "file": str(shell.home / "absent.json")},
    ]

    with shell.sidecar(*targets, health=f"127.0.0.1:{port}", deadline=0.3) as running:
        running.until(lambda: health_status(port) != 0)

        def versions() -> list[int | None]:
            return [each["version"] for each in json.loads(probe(port, "/healthz")[1])["targets"]]

        running.until(lambda: versions() == [0, None])
        assert health_status(port) == 503
        told = json.loads(probe(port, "/healthz")[1])
        assert told["targets"][1]["problem"]
        assert probe(port, "/healthz?verbose=1")[0] == 503
        assert probe(port, "/other")[0] == 404
        api.put(f"{name}-absent", {})
        running.until(lambda: health_status(port) == 200, 30)


def test_probes_may_be_strange(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    port = free_port()
    target = {"service": name, "file": str(shell.home / "app.json")}

    with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        silent = socket.create_connection(("127.0.0.1", port), timeout=10)
        for _ in range(3):
            probe = socket.create_connection(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.sendall(b"GET /hea")
            time.sleep(0.05)  # it is being read
            probe.close()
        head = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        head.request("HEAD", "/healthz")
        answer = head.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        head.close()
        assert silent.recv(1) == b""
        silent.close()

        assert "Traceback" not in running.output
        assert health_status(port) == 200


@pytest.mark.parametrize("state", ["idle", "looking", "mute", "first check", "later reload"])
def test_sigterm_ends_a_sidecar_within_3_seconds_with_code_0(
    shell: Shell, api: Api, name: str, nowhere: str, state: str
) -> None:
    api.put(name, {"n": 1})
    file, begun = shell.home / "app.json", shell.home / "begun"
    slow = ["sh", "-c", f'echo x >>{begun}; test "$(wc -l <{begun})" -lt $1 || exec sleep 20', "sh"]
    target: dict[str, Any] = {"service": name, "file": str(file)}
    other = {"service": name, "file": str(shell.home / "other.json")}
    if state == "first check":
        target["check"] = [*slow, "1"]
    if state == "later reload":
        target["reload"] = [*slow, "2"]
    with ExitStack() as stack:
        if state in {"looking", "mute"}:
            shell.url = (
                nowhere if state == "looking" else stack.enter_context(unresponsive_address())
            )
        plan = {"deadline": 10, "health": f"127.0.0.1:{free_port()}"}
        running = stack.enter_context(shell.sidecar(target, other, **plan))
        running.until_it_handles(signal.SIGTERM)
        if state in {"idle", "later reload"}:
            running.until(lambda: holds(file, {"n": 1}))
        if state == "later reload":
            api.put(name, {"n": 2})
        commands = {"first check": 1, "later reload": 2}.get(state, 0)
        running.until(lambda: len(lines_of(begun)) >= commands)
        running.send(signal.SIGTERM)

        assert running.wait(3) == 0


def test_sighup_reads_the_plan_anew(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    first, second = shell.home / "first.json", shell.home / "second.json"

    with shell.sidecar({"service": name, "file": str(first)}) as running:
        running.until(lambda: holds(first, {"n": 1}))
        shell.write_plan({"service": name, "file": str(second)})
        running.send(signal.SIGHUP)
        running.until(lambda: holds(second, {"n": 1}))
        api.put(name, {"n": 2})
        running.until(lambda: holds(second, {"n": 2}))

        assert holds(first, {"n": 1})
        running.send(signal.SIGTERM)
        assert running.wait(3) == 0


def test_a_plan_that_was_left_while_it_began_is_not_followed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    first, second, checks = (shell.home / each for each in ("first.json", "second.json", "checks"))
    slow = ["sh", "-c", f"echo x >>{checks}; sleep 0.5"]

    with shell.sidecar({"service": name, "file": str(first), "check": slow}) as running:
        running.until(checks.exists)
        shell.write_plan({"service": name, "file": str(second)})
        running.send(signal.SIGHUP)
        running.until(lambda: holds(second, {"n": 1}))
        began = time.monotonic()
        running.until(lambda: time.monotonic() - began > 0.8)  # the check is over
        api.put(name, {"n": 2})
        running.until(lambda: holds(second, {"n": 2}))
        running.until(lambda: time.monotonic() - began > 2)  # so would be another

        assert len(lines_of(checks)) == 1
        assert not first.exists()


def test_every_sighup_is_heard_also_while_the_last_one_is_being_obeyed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / "config" / f"{number}.json" for number in range(50)]

    with shell.sidecar({"service": name, "file": str(files[0])}) as running:
        running.until(files[0].exists)
        for file in files[1:]:
            shell.write_plan({"service": name, "file": str(file)})
            running.send(signal.SIGHUP)
            running.until(file.exists, 4)
        running.send(signal.SIGTERM)
        assert running.wait(3) == 0


def test_sighup_with_a_wrong_plan_goes_on_with_the_old_one(
    shell: Shell, server: Server, name: str
) -> None:
    server.api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()
    target = {"service": name, "file": str(file)}
    taken = json.dumps({"targets": [target], "health": f"127.0.0.1:{server.port}"})
    plans = [b"{", b"[]", b"\xff\xfe\x00", taken.encode()]

    with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: holds(file, {"n": 1}))
        for number, plan in enumerate(plans, 1):
            (shell.home / "plan.json").write_bytes(plan)
            running.send(signal.SIGHUP)
            running.until(lambda n=number: running.output.count("the old plan stays") == n)
            server.api.put(name, {"n": number + 1})
            running.until(lambda n=number: holds(file, {"n": n + 1}))
            assert health_status(port) == 200
        shell.write_plan({**target, "file": f"{file}.new"}, health=f"127.0.0.1:{port}")
        running.send(signal.SIGHUP)
        running.until(lambda: health_reports(port)[0]["file"] == f"{file}.new")
        running.until(lambda: health_status(port) == 200)


def test_a_plan_that_was_left_while_it_looked_for_its_server_writes_nothing(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(f"{name}-old", {"n": "old"})
    api.put(name, {"n": "new"})
    gate.shut()
    file = shell.home / "app.json"
    target = {"service": name, "file": str(file)}
    old = [{"service": f"{name}-old", "file": str(file)}]
    old += [{**old[0], "file": f"{file}.{number}"} for number in range(3)]

    with shell.sidecar(*old, url=gate.url, deadline=3) as running:
        running.until_it_handles(signal.SIGHUP)
        for _ in range(3):
            time.sleep(0.2)
            running.send(signal.SIGHUP)
        time.sleep(0.2)
        shell.write_plan(target, url=shell.url)
        running.send(signal.SIGHUP)
        running.until(lambda: holds(file, {"n": "new"}))
        gate.open()
        running.until(lambda: threads_of(running) < 6)
        time.sleep(1)

        assert holds(file, {"n": "new"})
        assert [each.name for each in shell.home.glob("app*")] == ["app.json"]


def threads_of(running: Running) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))


@contextmanager
def storm(url: str, service: str) -> Iterator[list[int]]:
    """Commits one after the other; yields the numbers of those that were acknowledged."""
    written: list[int] = []
    ended = threading.Event()

    def run() -> None:
        api = Api(url)
        number = 0
        while not ended.is_set():
            number += 1
            api.put(service, large(number))
            written.append(number)
            time.sleep(0.008)
        api.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join(10)


def test_a_sidecar_that_is_ended_in_a_storm_leaves_no_draft(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    file = shell.home / "kept" / "app.json"
    target = {"service": name, "file": str(file), "check": ["sleep", "0.05"]}
    assert shell.once(target).returncode == DONE
    random = Random(7)

    def number() -> int:
        return int(json.loads(file.read_bytes())["n"])

    with storm(shell.url, name):
        for _ in range(6):
            before = number()
            with shell.sidecar(target, debounce=0) as running:
                running.until(lambda before=before: number() > before)
                time.sleep(random.uniform(0, 0.06))
                running.send(signal.SIGTERM)
                assert running.wait(3) == 0
            assert [each.name for each in file.parent.iterdir()] == ["app.json"]


def test_a_sidecar_killed_in_a_storm_leaves_whole_files_and_nothing_else(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    plain, linked = shell.home / "plain" / "app.json", shell.home / "linked" / "app.json"
    targets = [{"service": name, "file": str(each)} for each in (plain, linked)]
    targets[1]["symlink"] = True
    assert shell.once(*targets).returncode == DONE
    random = Random(7)

    def numbers() -> list[int]:
        return [json.loads(each.read_bytes())["n"] for each in (plain, linked)]

    def all_went_on(before: list[int]) -> bool:
        return all(now > then for now, then in zip(numbers(), before, strict=True))

    with ExitStack() as stack:
        written = stack.enter_context(storm(shell.url, name))
        wrong = [stack.enter_context(reading(each)) for each in (plain, linked)]
        for _ in range(10):
            before = numbers()
            with shell.sidecar(*targets, debounce=0) as running:
                running.until(lambda n=before: all_went_on(n))
                time.sleep(random.uniform(0, 0.06))
                running.send(signal.SIGKILL)
                running.wait(5)
            for file, number in zip((plain, linked), numbers(), strict=True):
                assert json.loads(file.read_bytes()) == large(number)
        # One that is left in peace tidies up with its next write.
        before = numbers()
        with shell.sidecar(*targets, debounce=0) as running:
            running.until(lambda: all_went_on(before))
            running.send(signal.SIGTERM)
            assert running.wait(3) == 0

    assert wrong == [[], []]
    assert len(written) > 20
    assert [each.name for each in plain.parent.iterdir()] == ["app.json"]
    kept = {"..data", "app.json", str((linked.parent / "..data").readlink())}
    assert {each.name for each in linked.parent.iterdir()} == kept


def test_two_sidecars_on_one_file_end_with_the_last_state(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    file = shell.home / "config" / "app.json"
    target = {"service": name, "file": str(file)}

    with shell.sidecar(target) as one, shell.sidecar(target) as other:
        one.until(lambda: holds(file, large(0)))
        with storm(shell.url, name) as written, reading(file) as wrong:
            until(lambda: len(written) > 60, 30)
        one.until(lambda: holds(file, large(written[-1])))
        assert other.is_alive
        for running in (one, other):
            running.send(signal.SIGTERM)
            assert running.wait(3) == 0

    assert wrong == []
    assert holds(file, large(written[-1]))
    assert [each.name for each in file.parent.iterdir()] == ["app.json"]


def test_a_folder_that_cannot_be_is_told_and_the_rest_goes_on(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    shell.home.joinpath("taken").write_text("a file")
    shell.home.joinpath("busy").mkdir()
    bad, worse, good = (shell.home / each for each in ("taken/app.json", "busy", "good.json"))
    targets = [{"service": name, "file": str(each)} for each in (bad, worse, good)]

    with shell.sidecar(*targets) as running:
        running.until(lambda: holds(good, {"n": 1}))
        api.put(name, {"n": 2})
        running.until(lambda: holds(good, {"n": 2}))
        assert str(bad) in running.output
        assert str(worse) in running.output
        (shell.home / "taken").unlink()
        running.until(lambda: holds(bad, {"n": 2}))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write in ``folder``, as long as this lasts; root is kept out by a mount."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False)
    need(bound.returncode == 0, "the right to mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_folder_that_is_read_only_for_a_while_is_told_and_written_afterwards(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    folder, port = shell.home / "config", free_port()
    file = folder / "app.json"
    folder.mkdir()

    with shell.sidecar({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        with read_only(folder):
            api.put(name, {"n": 2})
            running.until(lambda: health_status(port) == 503)
            assert holds(file, {"n": 1})
            assert str(file) in running.output
        running.until(lambda: holds(file, {"n": 2}))
        running.until(lambda: health_status(port) == 200)


def test_a_disk_that_is_full_for_a_while_leaves_the_old_file(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    folder, port = shell.home / "config", free_port()
    file = folder / "app.json"
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    with shell.sidecar({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        # Every file of the process ends here, as if the disk did.
        most = (8_192, resource.RLIM_INFINITY)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, most)
        document = {"n": 2, "text": "x" * 20_000}
        api.put(name, document)
        running.until(lambda: health_status(port) == 503)
        assert holds(file, {"n": 1})
        running.until(lambda: [each.name for each in folder.iterdir()] == ["app.json"])
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, no_limit)
        running.until(lambda: holds(file, document))
        running.until(lambda: health_status(port) == 200)
