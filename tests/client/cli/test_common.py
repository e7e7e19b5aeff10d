"""What every command has in common: servers, tokens, profiles, exit codes."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from distributed_config.client.cli.commands import COMMANDS
from tests.support.server import Api
from tests.support.shells import (
    REFUSED,
    UNREACHABLE,
    USAGE,
    Shell,
    error_sentences,
    holds,
)
from tests.support.stubs import (
    Recorder,
    token_server,
)


def test_both_doors_lead_to_the_same_commands(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    told = shell.output("--help", door="distributed_config")

    assert all(re.search(rf"^  {each}\b", told, re.MULTILINE) for each in COMMANDS)
    assert shell.output("get", name, "n", door="distributed_config") == "1\n"
    assert shell.output("get", name, "n") == "1\n"
    assert shell.run("nonsense").returncode == USAGE
    assert shell.run("get").returncode == USAGE
    unknown = shell.run("history", "--service", "web")
    assert unknown.returncode == USAGE
    assert unknown.stderr.startswith("usage: distconf history [-h]")
    assert shell.run("--nonsense").returncode == USAGE
    assert shell.run().returncode == USAGE


def test_what_the_server_refuses_is_exit_code_1_and_a_sentence(shell: Shell, name: str) -> None:
    shell.home.joinpath("wrong.json").write_text('{"a": 1e999, "service": "other"}')
    missing = [("get", name), ("diff", name, "0", "1"), ("rollback", name, "0")]
    missing += [("patch", name, "a=1")]

    ran = shell.run_all(*missing)

    assert [each.returncode for each in ran] == [REFUSED] * len(missing)
    assert all(name in error_sentences(each) for each in ran)
    wrong = shell.run("put", name, "wrong.json")
    assert wrong.returncode == REFUSED
    assert "/a" in error_sentences(wrong)
    assert "/service" in wrong.stderr
    absent = shell.run("put", name, "absent.json")
    assert absent.returncode == REFUSED
    assert "absent.json" in error_sentences(absent)


def test_no_server_is_exit_code_3(shell: Shell, nowhere: str, name: str) -> None:
    shell.url = nowhere
    shell.home.joinpath("a.json").write_text("{}")
    commands = [("get", name), ("put", name, "a.json"), ("history", name), ("env", name)]

    ran = shell.run_all(*commands)

    assert [each.returncode for each in ran] == [UNREACHABLE] * len(commands)
    assert all(nowhere in error_sentences(each) for each in ran)


def test_exec_without_a_server_is_exit_code_3(shell: Shell, nowhere: str, name: str) -> None:
    shell.url = nowhere

    ran = shell.run("exec", "--service", name, "--deadline", "0.3", "--", "true")

    assert (ran.returncode, name in error_sentences(ran)) == (UNREACHABLE, True)


@pytest.mark.parametrize("url", ["localhost", "http://localhost:port", "http://[::1"])
def test_an_address_that_is_none_is_told_in_a_sentence(shell: Shell, url: str) -> None:
    ran = shell.run("get", "web", "--url", url)

    assert ran.returncode in {REFUSED, USAGE}
    error_sentences(ran)


def test_something_else_that_answers_is_told_in_a_sentence(shell: Shell) -> None:
    with Recorder() as other:
        history = shell.run("history", "web", "--url", other.url)
        put = shell.run("put", "web", "-", "--url", other.url, stdin="{}")

    assert history.returncode in {REFUSED, UNREACHABLE}
    assert put.returncode in {REFUSED, UNREACHABLE}
    error_sentences(history)
    error_sentences(put)


def test_a_token_comes_from_the_flag_or_the_variable_or_the_file(shell: Shell) -> None:
    shell.home.joinpath("token").write_text("filed\n")
    file = str(shell.home / "token")
    with Recorder() as other:
        shell.url = other.url
        shell.output("get", "web")
        shell.output("get", "web", DISTCONF_TOKEN_FILE=file)
        shell.output("get", "web", DISTCONF_TOKEN="named", DISTCONF_TOKEN_FILE=file)
        shell.output("get", "web", "--token", "flagged", DISTCONF_TOKEN="named")

    tokens = [token for _, _, token in other.requests]
    assert tokens == ["", "Bearer filed", "Bearer named", "Bearer flagged"]


def test_a_profile_names_a_server_and_a_token(shell: Shell, nowhere: str) -> None:
    folder = shell.home / ".config" / "distconf"
    folder.mkdir(parents=True)
    (shell.home / "secret").write_text("ours\n")
    with Recorder() as other:
        profile = f'[prod]\nurl = "{other.url}"\ntoken_file = "~/secret"\n'
        (folder / "profiles.toml").write_text(profile)
        shell.url = nowhere
        shell.output("get", "web", "--profile", "prod")
        shell.output("get", "web", DISTCONF_PROFILE="prod")
        unknown = shell.run("get", "web", "--profile", "test")

    assert [token for _, _, token in other.requests] == ["Bearer ours"] * 2
    assert unknown.returncode == REFUSED
    assert "prod" in error_sentences(unknown)


def test_a_profile_that_is_asked_for_brings_its_own_token(shell: Shell) -> None:
    profiles = shell.home / "profiles.json"
    with Recorder() as other:
        profiles.write_text(json.dumps({"prod": {"url": other.url, "token": "of-prod"}}))
        variables = {"DISTCONF_PROFILES": str(profiles), "DISTCONF_TOKEN": "of-another-server"}
        shell.output("get", "web", "--profile", "prod", **variables)

    assert [token for _, _, token in other.requests] == ["Bearer of-prod"]


def test_settings_that_make_no_sense_are_told_in_a_sentence(shell: Shell) -> None:
    shell.home.joinpath("binary").write_bytes(b"\x80\xff")
    shell.home.joinpath("profiles.json").write_text('{"p": {"url": "http://a", "token_file": 5}}')
    profiles = str(shell.home / "profiles.json")
    wrong = {
        "a binary token": {"DISTCONF_TOKEN_FILE": str(shell.home / "binary")},
        "no token's file": {"DISTCONF_TOKEN_FILE": str(shell.home / "absent")},
        "two tokens": {"DISTCONF_TOKEN": "dcf_secretA\ndcf_second"},
        "not ASCII": {"DISTCONF_TOKEN": "dcf_€"},
        "a number": {"DISTCONF_PROFILES": profiles, "DISTCONF_PROFILE": "p"},
    }
    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(lambda each: shell.run("get", "web", **each), wrong.values()))

    assert [each.returncode for each in ran] == [REFUSED] * len(wrong)
    assert all("token" in error_sentences(each) for each in ran)
    assert not any("dcf_" in each.stderr for each in ran)


def test_what_runs_takes_up_a_token_that_is_exchanged_in_its_file(shell: Shell) -> None:
    file, target = shell.home / "token", shell.home / "app.json"
    file.write_text("first")
    tokens = {"first": 1}
    command = ("--", "sh", "-c", "echo =$N; exec sleep 60")
    with token_server(tokens) as shell.url:
        profiles = {"p": {"url": shell.url, "token_file": str(file)}}
        (shell.home / "profiles.json").write_text(json.dumps(profiles))
        variables = {"DISTCONF_PROFILES": str(shell.home / "profiles.json")}
        words = ("exec", "--service", "web", "--profile", "p", "--on-change", "restart", *command)
        sidecar = ("sidecar", "--service", "web", "--file", str(target), "--debounce", "0")
        with (
            shell.started(*words, **variables) as running,
            shell.started(*sidecar, DISTCONF_TOKEN_FILE=str(file)) as keeping,
        ):
            running.until(lambda: "=1" in running.output)
            keeping.until(lambda: holds(target, {"n": 1}))
            file.write_text("second\n")
            tokens.clear()
            tokens["second"] = 2

            running.until(lambda: "=2" in running.output)
            keeping.until(lambda: holds(target, {"n": 2}))
