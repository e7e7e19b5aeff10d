"""The plan of a sidecar, and all that can be wrong in it."""

import json
from typing import Any

import pytest

from tests.support.server import Api, Server
from tests.support.shells import (
    DONE,
    REFUSED,
    USAGE,
    Shell,
    error_sentences,
    holds,
)


@pytest.mark.parametrize("kind", ["json", "toml", "yaml", "flags"])
def test_a_plan_is_json_toml_yaml_or_flags(shell: Shell, api: Api, name: str, kind: str) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "new" / "folder" / "app.env"
    plans = {
        "json": json.dumps({"targets": [{"service": name, "file": str(file), "mode": "600"}]}),
        "toml": f'[[targets]]\nservice = "{name}"\nfile = "{file}"\nmode = "600"\n',
        "yaml": f"targets:\n- service: {name}\n  file: {file}\n  mode: '600'\n",
    }
    if kind == "flags":
        flags = ["--service", name, "--file", str(file), "--mode", "600"]
    else:
        shell.home.joinpath(f"plan.{kind}").write_text(plans[kind])
        flags = ["-c", f"plan.{kind}"]

    shell.output("sidecar", "--once", *flags)

    assert file.read_text() == "N=1\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_everything_that_is_wrong_in_a_plan_is_told_at_once(shell: Shell) -> None:
    targets = [{"service": "a"}, {"file": "b", "format": "xml", "colour": 1}, "c"]
    targets.append({"service": "a", "file": "f", "signal": "NONE"})

    ran = shell.once(*targets, speed=2)

    assert ran.returncode == REFUSED
    for pointer in ("/targets/0/file", "/targets/1/service", "/targets/1/format", "/speed"):
        assert pointer in error_sentences(ran)
    for pointer in ("/targets/1/colour", "/targets/2", "/targets/3/signal", "/targets/3/pidfile"):
        assert pointer in ran.stderr


@pytest.mark.parametrize("command", [" ", "sh -c 'oops", [""]], ids=str)
def test_a_command_that_is_none_is_refused_before_anything_begins(
    shell: Shell, name: str, command: Any
) -> None:
    target = {"service": name, "file": str(shell.home / "app.json")}

    ran = shell.once({**target, "check": command, "reload": command})

    assert ran.returncode == REFUSED
    told = error_sentences(ran)
    assert "/targets/0/check" in told
    assert "/targets/0/reload" in told


def test_two_targets_for_one_file_are_refused(shell: Shell) -> None:
    shell.home.joinpath("folder").mkdir()
    files = ["folder/app.json", "other.json", f"{shell.home}/folder/../folder/app.json"]

    ran = shell.once(*({"service": "web", "file": file} for file in files))

    assert ran.returncode == REFUSED
    assert "/targets/2/file" in error_sentences(ran)
    assert "/targets/0" not in ran.stderr


def test_a_plan_and_a_target_by_flags_are_wrong_usage(shell: Shell, name: str) -> None:
    plan = shell.write_plan({"service": name, "file": "app.json"})

    ran = shell.run("sidecar", "--once", "-c", str(plan), "--file", "other.json")

    assert ran.returncode == USAGE
    assert "--file" in error_sentences(ran)


def test_a_plan_with_values_of_wrong_kinds_is_refused_with_all_of_them(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    good = {"service": name, "file": str(shell.home / "app.json")}
    wrong: list[dict[str, Any]] = [
        {"mode": "rw-r--r--"},
        {"mode": "999"},
        {"service": 5},
        {"file": ["f"]},
        {"check": {"a": 1}},
        {"reload": [1]},
        {"signal": 15, "pidfile": "p"},
        {"defaults": "no"},
        {"template": False},
        {"notify": 1},
    ]
    of_plan = {"debounce": "soon", "splay": -1, "deadline": None, "health": "nonsense", "url": 5}

    ran = shell.once(*({**good, **each} for each in wrong), **of_plan)

    assert ran.returncode == REFUSED
    told = error_sentences(ran)
    pointers = [f"/{each}" for each in of_plan]
    pointers += [f"/targets/{number}/{next(iter(each))}" for number, each in enumerate(wrong)]
    assert [each for each in pointers if each not in told] == []
    assert not (shell.home / "app.json").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"debounce": "soon"},
        {"url": "localhost:5000"},
        {"health": "127.0.0.1:99999"},
        {"health": "127.0.0.1:{taken}"},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_followed_ends_the_sidecar_with_a_sentence(
    shell: Shell, server: Server, name: str, wrong: dict[str, Any]
) -> None:
    server.api.put(name, {"n": 1})
    target = {"service": name, "file": str(shell.home / "app.json")}
    [(key, value)] = wrong.items()

    with shell.sidecar(target, **{key: value.format(taken=server.port)}) as running:
        assert running.wait(5) == REFUSED
        assert "Traceback" not in running.output
        assert "distconf: " in running.output


@pytest.mark.parametrize("plan", ["", "[]", "{"])
def test_a_plan_that_is_none_is_refused_in_a_sentence(shell: Shell, plan: str) -> None:
    shell.home.joinpath("plan.yaml").write_text(plan)

    ran = shell.run("sidecar", "--once", "-c", "plan.yaml")

    assert ran.returncode == REFUSED
    error_sentences(ran)


def test_a_mode_that_yaml_takes_for_a_number_is_kept_or_refused(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    plan = f"targets:\n- {{service: {name}, file: app.json, mode: 0640}}\n"
    shell.home.joinpath("plan.yaml").write_text(plan)

    ran = shell.run("sidecar", "--once", "-c", "plan.yaml")

    if ran.returncode == DONE:
        assert (shell.home / "app.json").stat().st_mode & 0o777 == 0o640
    else:
        assert "mode" in error_sentences(ran)


def test_a_server_on_the_command_line_goes_before_the_plans(
    shell: Shell, api: Api, name: str, nowhere: str
) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    plan = shell.write_plan({"service": name, "file": str(file)}, url=nowhere, deadline=0.3)

    assert shell.run("sidecar", "--once", "-c", str(plan)).returncode == REFUSED
    assert shell.run("sidecar", "--once", "-c", str(plan), "--url", shell.url).returncode == DONE
    assert holds(file, {"n": 1})
