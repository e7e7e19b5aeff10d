"""The command env, read back by a shell."""

import pytest

from tests.support.server import Api
from tests.support.shells import (
    AWKWARD,
    DONE,
    REFUSED,
    Shell,
    as_the_shell_reads,
    error_sentences,
    expected_variables,
)


def test_a_shell_reads_env_back_exactly(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    shell.home.joinpath("app.env").write_text(shell.output("env", name))
    sourced = as_the_shell_reads('. "$1"', str(shell.home / "app.env"))
    evaluated = as_the_shell_reads('eval "$1"', shell.output("env", name, "--prefix", "APP_"))

    assert expected_variables().items() <= sourced.items()
    assert expected_variables("APP_").items() <= evaluated.items()


def test_a_shell_reads_exported_variables_back_exactly(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    told = shell.output("env", name, "--export")

    found = as_the_shell_reads('set +a; eval "$1"', told)
    assert expected_variables().items() <= found.items()


@pytest.mark.parametrize(("key", "prefix"), [("1st", ""), ("", ""), ("ключ", ""), ("n", "MY APP_")])
def test_a_name_that_is_none_for_a_variable_is_refused_or_made_one_that_a_shell_takes(
    shell: Shell, api: Api, name: str, key: str, prefix: str
) -> None:
    api.put(name, {key: "x"})

    ran = shell.run("env", name, "--prefix", prefix)

    if ran.returncode == DONE:
        assert "x" in as_the_shell_reads('eval "$1"', ran.stdout).values()
    else:
        assert ran.returncode == REFUSED
        error_sentences(ran)


def test_values_that_would_have_one_name_are_refused_with_all_of_them(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": {"b": 1}, "a_b": 2, "c": "nul\0", "d-e": 1, "D.E": 2})

    ran = shell.run("env", name)

    assert ran.returncode == REFUSED
    assert ran.stdout == ""
    assert all(each in error_sentences(ran) for each in ("A_B", "NUL", "D_E"))
