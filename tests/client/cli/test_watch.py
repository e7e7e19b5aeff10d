"""The command watch."""

import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.proxies import Gate
from tests.support.server import Api, Server
from tests.support.shells import (
    REFUSED,
    UNREACHABLE,
    Shell,
    error_sentences,
    lines_of,
)


def test_watch_without_a_server_is_exit_code_3(shell: Shell, nowhere: str) -> None:
    ran = shell.run("watch", "--url", nowhere)

    assert ran.returncode == UNREACHABLE
    assert nowhere in error_sentences(ran)


def test_watch_behind_a_revision_that_is_not_there_yet_is_refused(shell: Shell, api: Api) -> None:
    ran = shell.run("watch", "--after", "999999999")

    assert ran.returncode == REFUSED
    assert "There is no revision 999999999" in error_sentences(ran)


def test_watch_says_when_its_server_is_away(shell: Shell, api: Api, name: str, gate: Gate) -> None:
    shell.url = gate.url
    with shell.started("watch", name) as watching:

        def is_following() -> bool:
            api.put(name, {"n": time.monotonic()})
            return name in watching.output

        watching.until(is_following)
        gate.shut()
        watching.until(lambda: "cannot be reached" in watching.output)


def test_watch_tells_of_every_change_in_order_also_across_a_restart(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "instance", workers=1))
        shell = Shell(tmp_path, server.url)
        server.api.put("web", {"n": 0})
        words = ("watch", "--after", "1", "--output", "json")
        watching = stack.enter_context(shell.started(*words))

        def numbers() -> list[int]:
            lines = [line for line in lines_of(watching.log) if line.startswith("{")]
            return [json.loads(line)["version"] for line in lines]

        for number in range(1, 5):
            server.api.put("web", {"n": number})
        watching.until(lambda: len(numbers()) == 4)
        server.kill()
        server.start()
        for number in range(5, 10):
            server.api.put("web", {"n": number})
        watching.until(lambda: len(numbers()) >= 9, 30)

        assert numbers() == list(range(1, 10))
        watching.send(signal.SIGINT)
        assert watching.wait(5) == 128 + signal.SIGINT


def test_watch_tells_of_the_services_asked_for_in_lines(shell: Shell, api: Api, name: str) -> None:
    after = api.put(f"{name}/before", {}).headers["config-revision"]
    with shell.started("watch", f"{name}/", f"{name}-one", "--after", after) as watching:
        for service in (f"{name}/a", f"{name}-other", f"{name}-one", f"{name}/b"):
            api.put(service, {"n": 1}, note=f"for {service}")
        watching.until(lambda: f"{name}/b" in watching.output)

        lines = [line for line in lines_of(watching.log) if "version.created" in line]
    assert [line.split()[4:6] for line in lines] == [
        [service, "0"] for service in (f"{name}/a", f"{name}-one", f"{name}/b")
    ]
    assert lines[0].endswith(f"for {name}/a")


def test_watch_begins_with_now(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": -1})
    written = 0  # and as many versions behind the first
    with shell.started("watch", name, "--output", "json") as watching:

        def one_more() -> bool:
            nonlocal written
            api.put(name, {"n": written})
            written += 1
            return bool(watching.output)

        watching.until(one_more)
        watching.until(lambda: f'"version": {written},' in watching.output)

        found = [json.loads(line)["version"] for line in lines_of(watching.log)]
    assert found == list(range(found[0], written + 1))
    assert found[0] > 0
