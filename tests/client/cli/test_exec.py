"""The command exec: its child's environment, signals and end."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.proxies import Gate
from tests.support.server import Api
from tests.support.shells import (
    AWKWARD,
    REFUSED,
    UNREACHABLE,
    USAGE,
    Shell,
    error_sentences,
    expected_variables,
    lines_of,
)


def test_exec_gives_the_configuration_as_variables(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    told = shell.output(
        "exec", "--service", name, "--prefix", "APP_", "--", "env", "-0", OTHER="kept"
    )

    found = dict(each.split("=", 1) for each in told.split("\0") if each)
    assert found["OTHER"] == "kept"
    assert expected_variables("APP_") == {
        key: value for key, value in found.items() if key.startswith("APP_")
    }


def test_exec_ends_as_its_command_ends(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    scripts = {"true": 0, "exit 42": 42, "kill -KILL $$": 128 + 9, "kill -TERM $$": 128 + 15}

    ran = shell.run_all(*(("exec", "--service", name, "--", "sh", "-c", each) for each in scripts))

    assert [each.returncode for each in ran] == list(scripts.values())


def test_exec_hands_its_commands_words_on_as_they_are(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    told = shell.output(
        "exec", "--service", name, "--", "printf", "[%s]", "a", "--", "-q", "b c", ""
    )

    assert told == "[a][--][-q][b c][]"


def test_exec_without_a_command_is_wrong_usage(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    assert shell.run("exec", "--service", name).returncode == USAGE
    assert shell.run("exec", "--service", name, "--").returncode == USAGE


def test_exec_tells_of_a_command_that_is_not_there(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    ran = shell.run("exec", "--service", name, "--", "no-such-command")

    assert ran.returncode == 127
    assert "no-such-command" in error_sentences(ran)
    forbidden = shell.run("exec", "--service", name, "--", str(shell.home))
    assert forbidden.returncode == 126
    assert str(shell.home) in error_sentences(forbidden)


def test_exec_of_a_service_that_is_not_there_is_refused(shell: Shell, name: str) -> None:
    ran = shell.run("exec", "--service", name, "--", "echo", "ran")

    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert name in error_sentences(ran)


def test_exec_refuses_what_no_variable_can_hold(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"": "x", "large": "x" * 200_000})

    ran = shell.run("exec", "--service", name, "--", "true")

    assert ran.returncode == REFUSED
    error_sentences(ran)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_exec_passes_signals_on(shell: Shell, api: Api, name: str, number: signal.Signals) -> None:
    api.put(name, {"n": 1})
    script = f'trap "echo told; exit 7" {number.name[3:]}; sleep 0.1; echo ready'
    script += "; while :; do sleep 0.05; done"

    with shell.started("exec", "--service", name, "--", "sh", "-c", script) as running:
        running.until(lambda: "ready" in running.output)
        running.send(number)

        assert running.wait(5) == 7
        assert "told" in running.output


def test_exec_passes_on_every_signal_that_can_be_caught(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    numbers = [getattr(signal, f"SIG{each}") for each in PASSED_ON.split()]
    script = "".join(f'trap "echo {each}" {each}; ' for each in PASSED_ON.split())
    script += "echo ready; while :; do sleep 0.05; done"
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", script) as running:
        running.until(lambda: "ready" in running.output)
        for number in numbers:
            running.send(number)
            running.until(lambda number=number: number.name[3:] in lines_of(running.log))
        # None of them was an end: the command is run again when something changes.
        api.put(name, {"n": 2})
        running.until(lambda: lines_of(running.log).count("ready") == 2)


PASSED_ON = "HUP USR1 USR2 ALRM TTIN TTOU WINCH CONT"


def test_exec_passes_a_signal_on_however_early_it_comes(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    script = 'trap "exit 7" TERM; kill -TERM $PPID; for i in 1 2 3 4; do sleep 0.5; done; exit 99'
    words = ("exec", "--service", name, "--", "sh", "-c", script)

    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(lambda _: shell.run(*words), range(8)))

    assert [each.returncode for each in ran] == [7] * 8


def test_exec_runs_the_command_again_when_the_configuration_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 0})
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", "echo $N; exec sleep 60") as running:
        for number in range(1, 4):
            running.until(lambda n=number: lines_of(running.log)[-1:] == [f"{n - 1}"])
            api.put(name, {"n": number})
        running.until(lambda: lines_of(running.log)[-1:] == ["3"])
        running.send(signal.SIGTERM)

        assert running.wait(5) == 128 + signal.SIGTERM
        assert lines_of(running.log) == ["0", "1", "2", "3"]


def test_exec_that_restarts_ends_up_with_the_last_of_quick_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 0})
    script = 'trap "sleep 0.05; exit 0" TERM; echo $N; while :; do sleep 0.01; done'
    words = ("--service", name, "--on-change", "restart", "--", "sh", "-c", script)

    with shell.started("exec", *words) as running:
        running.until(lambda: running.output)
        for number in range(1, 25):
            api.put(name, {"n": number})
            if number % 3:
                time.sleep(0.02)
            else:
                running.until(lambda n=number: lines_of(running.log)[-1] == f"{n}", 5)


def test_exec_sends_a_signal_when_the_configuration_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    script = 'trap "echo told" USR1; echo ready; while :; do sleep 0.05; done'
    words = ("--service", name, "--on-change", "USR1", "--", "sh", "-c", script)

    with shell.started("exec", *words) as running:
        running.until(lambda: "ready" in running.output)
        api.put(name, {"n": 2})
        running.until(lambda: lines_of(running.log) == ["ready", "told"])
        api.put(name, {"n": 3})
        running.until(lambda: lines_of(running.log) == ["ready", "told", "told"])


def test_exec_keeps_its_command_when_a_configuration_comes_that_is_no_environment(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", "echo =$N; exec sleep 60") as running:
        running.until(lambda: "=1" in running.output)
        api.put(name, {"a": {"b": 1}, "a_b": 2})
        running.until(lambda: "A_B" in running.output)
        api.put(name, {"n": 3})
        running.until(lambda: "=3" in running.output)


def test_exec_starts_from_the_snapshot_when_the_server_is_down(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"n": "kept"})
    shell.url = gate.url
    words = ("exec", "--service", name, "--deadline", "0.3", "--", "sh", "-c", "echo $N")
    assert shell.output(*words) == "kept\n"

    gate.shut()

    assert shell.output(*words) == "kept\n"


def test_exec_without_a_server_and_a_snapshot_ends_with_3_and_runs_nothing(
    shell: Shell, name: str, nowhere: str
) -> None:
    shell.url = nowhere

    ran = shell.run("exec", "--service", name, "--deadline", "0.3", "--", "echo", "ran")

    assert (ran.returncode, ran.stdout) == (UNREACHABLE, "")
    assert name in ran.stderr
