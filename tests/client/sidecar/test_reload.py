"""Checks before a file is replaced, and notifications afterwards."""

import os
import re
import signal
import subprocess
import time

import pytest

from tests.support.server import Api, free_port
from tests.support.shells import (
    DONE,
    Shell,
    as_written,
    health_reports,
    health_status,
    holds,
    lines_of,
    probe,
    text_of,
)
from tests.support.stubs import (
    Recorder,
    non_http_address,
)
from tests.support.waiting import until


def test_healthz_is_good_only_once_the_file_is_there(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file, checking, port = shell.home / "app.json", shell.home / "checking", free_port()
    slow = ["sh", "-c", 'touch "$0"; while [ -e "$0" ]; do sleep 0.01; done', str(checking)]

    with shell.sidecar(
        {"service": name, "file": str(file), "check": slow}, health=f"127.0.0.1:{port}"
    ) as running:
        running.until(checking.exists)
        assert health_status(port) == 503
        assert b"being loaded" in probe(port, "/healthz")[1]
        checking.unlink()
        running.until(lambda: health_status(port) == 200)
        assert holds(file, {"n": 1})


def test_a_file_that_its_check_refuses_is_not_put_in_place(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": "good 1"})
    file, seen, port = shell.home / "app.json", shell.home / "seen", free_port()
    script = 'cat "$1" "$2" >>"$3" 2>/dev/null; grep -q good "$1" || { echo no good >&2; exit 9; }'
    check = ["sh", "-c", script, "sh", "{file}", str(file), str(seen)]
    target = {"service": name, "file": str(file), "check": check}

    with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        api.put(name, {"n": "bad 2"})
        running.until(lambda: health_status(port) == 503)

        assert holds(file, {"n": "good 1"})
        assert "no good" in running.output
        assert "no good" in probe(port, "/healthz")[1].decode()
        assert [each.name for each in shell.home.glob(".app*")] == []
        api.put(name, {"n": "good 3"})
        running.until(lambda: holds(file, {"n": "good 3"}))
        running.until(lambda: health_status(port) == 200)
    # The check saw the new file while the old one was still in place.
    last = seen.read_text().replace("\n", "").split("{")[-2:]
    assert [re.findall("good [0-9]", each) for each in last] == [["good 3"], ["good 1"]]


def test_quoted_words_of_a_command_stay_together(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file, told = shell.home / "a file.json", shell.home / "told"

    ran = shell.run(
        *("sidecar", "--once", "--service", name, "--file", str(file)),
        *("--check", "sh -c 'test -s \"$1\"' sh {file}"),
        *("--reload", f"sh -c 'echo \"$1\" >> {told}' sh {{file}}"),
    )

    assert ran.returncode == DONE, ran.stderr
    assert lines_of(told) == [str(file)]


def test_the_application_is_told_in_every_way_that_is_asked_for(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, log, pidfile = (shell.home / each for each in ("app.json", "log", "pid"))
    script = f'trap "echo signal >>{log}" USR1; echo $$ >{pidfile}; while :; do sleep 0.02; done'
    application = subprocess.Popen(["sh", "-c", script])
    try:
        until(lambda: text_of(pidfile).endswith("\n"))
        with Recorder() as other:
            target = {"service": name, "file": str(file), "notify": f"{other.url}/reload"}
            target |= {"signal": "USR1", "pidfile": str(pidfile)}
            target["reload"] = ["sh", "-c", f'cat "$1" | tr -d " \\n" >>{log}; echo >>{log}']
            target["reload"] += ["sh", "{file}"]
            with shell.sidecar(target) as running:
                running.until(lambda: len(lines_of(log)) == 2 and other.requests)
                api.put(name, {"n": 2})
                running.until(lambda: len(lines_of(log)) == 4 and len(other.requests) == 2)
    finally:
        application.kill()
        application.wait(10)

    assert lines_of(log) == ['{"n":1}', "signal", '{"n":2}', "signal"]
    assert [each[:2] for each in other.requests] == [("POST", "/reload")] * 2


def test_who_could_not_be_told_is_told_again_alone_and_the_file_is_good(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, tries, others, port = (
        *(shell.home / each for each in ("app.json", "tries", "others")),
        free_port(),
    )
    file.write_text("old")
    script = f'echo x >>{tries}; test "$(wc -l <{tries})" -ne 2'
    with non_http_address() as url:
        targets = [
            {"service": name, "file": str(file), "reload": ["sh", "-c", script]},
            {"service": name, "file": f"{file}.other", "notify": url},
        ]
        targets[1]["reload"] = ["sh", "-c", f"echo x >>{others}"]
        with shell.sidecar(*targets, health=f"127.0.0.1:{port}") as running:
            running.until(lambda: (len(lines_of(tries)), len(lines_of(others))) == (1, 1))
            api.put(name, {"n": 2})
            running.until(lambda: holds(file, {"n": 2}))
            running.until(lambda: b"was not notified" in probe(port, "/healthz")[1])
            assert health_status(port) == 200
            written = file.stat().st_mtime_ns
            running.until(lambda: len(lines_of(tries)) == 3)
            running.until(lambda: health_reports(port)[0]["problem"] == "")

            assert holds(file, {"n": 2})
            assert file.stat().st_mtime_ns == written
            running.until(lambda: running.output.count(".other: It is written") >= 2)
            assert "was not notified" in health_reports(port)[1]["problem"]
            assert "not written" not in running.output
            assert len(lines_of(others)) == 2


def test_that_nobody_runs_yet_when_a_file_is_first_written_is_normal(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    fresh, old, port = shell.home / "fresh.json", shell.home / "old.json", free_port()
    old.write_text("{}")
    absent = {"signal": "HUP", "pidfile": str(shell.home / "absent")}
    targets = [
        {"service": name, "file": str(fresh), "reload": "pkill -HUP -x no-such-process"},
        {"service": name, "file": str(old), **absent},
    ]

    with shell.sidecar(*targets, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        assert [each["problem"] for each in health_reports(port)] == ["", ""]
        assert "ERROR" not in running.output
    fresh.unlink()
    old.write_text("{}")
    assert shell.once(*targets).returncode == DONE


def test_a_command_is_over_when_it_ends_whatever_it_leaves_running_or_says(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    check = ["sh", "-c", r"printf 'caf\351\n'"]
    target = {"service": name, "file": str(file), "check": check}
    began = time.monotonic()

    ran = shell.once({**target, "reload": ["sh", "-c", "sleep 50 & echo $! >pid"]})

    os.kill(int(text_of(shell.home / "pid")), signal.SIGKILL)
    assert ran.returncode == DONE, ran.stderr
    assert time.monotonic() - began < 20
    api.put(name, {"n": 2})
    ran = shell.once({**target, "check": ["sh", "-c", r"printf 'caf\351\n'; exit 4"]})
    assert "ended with 4: caf" in ran.stderr


def test_something_strange_that_is_notified_does_not_end_the_following(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()
    file.write_text(as_written({"n": 1}))

    with non_http_address() as url:
        target = {"service": name, "file": str(file), "notify": url}
        with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
            running.until(lambda: health_status(port) == 200)
            for number in (2, 3):
                api.put(name, {"n": number})
                running.until(lambda n=number: holds(file, {"n": n}), 6)


@pytest.mark.parametrize("content", ["", "0", "99999999999999999999"])
def test_a_pidfile_that_names_no_process_is_told_and_harms_nothing(
    shell: Shell, api: Api, name: str, content: str
) -> None:
    api.put(name, {"n": 1})
    file, pidfile, port = shell.home / "app.json", shell.home / "pid", free_port()
    file.write_text(as_written({"n": 1}))
    pidfile.write_text(content)
    target = {"service": name, "file": str(file), "signal": "USR1", "pidfile": str(pidfile)}

    with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        for number in (2, 3):
            api.put(name, {"n": number})
            running.until(lambda n=number: holds(file, {"n": n}), 6)
