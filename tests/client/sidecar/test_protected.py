"""A configuration does not choose what programs run, load or trust, unless it is let."""

import io
import json
import os
import pydoc
from typing import Any

import pytest

from distributed_config.client.integrations.environ import fill_environ
from distributed_config.client.sidecar.protected import PROTECTED, environment, reason_for
from distributed_config.errors import Rejected
from tests.support.server import Api
from tests.support.shells import (
    DONE,
    REFUSED,
    USAGE,
    Shell,
    error_sentences,
    lines_of,
    text_of,
)
from tests.support.source import ROOT

EVIL = {
    "path": "/tmp/evil",
    "ld": {"preload": "/tmp/evil.so"},
    "Bash-Env": "/tmp/evil",
    "git.ssh.command": "evil",
    "port": 80,
}
NAMES = ("PATH", "LD_PRELOAD", "BASH_ENV", "GIT_SSH_COMMAND")
ALLOW = [word for name in NAMES for word in ("--allow-env", name)]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"),
        *("BASH_ENV", "ENV", "IFS", "PS4", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS", "ZDOTDIR"),
        *("BASH_FUNC_x", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PERL5OPT", "PERL5LIB"),
        *("RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH", "CLASSPATH", "JAVA_TOOL_OPTIONS"),
        *("_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF"),
        *("GCONV_PATH", "MALLOC_CHECK_", "GLIBC_TUNABLES", "LOCPATH", "NLSPATH", "TMPDIR", "HOME"),
        *("EDITOR", "VISUAL", "PAGER", "BROWSER", "SSH_ASKPASS", "GIO_EXTRA_MODULES"),
        *("GTK_PATH", "QT_PLUGIN_PATH", "DOTNET_STARTUP_HOOKS", "COR_PROFILER"),
        *("CORECLR_PROFILER_PATH", "OPENSSL_CONF", "SSL_CERT_FILE", "HTTPS_PROXY", "DISTCONF_URL"),
        *("FLASK_DEBUG", "GUNICORN_CMD_ARGS"),
    ],
)
def test_a_variable_that_chooses_what_runs_is_protected_in_any_case(name: str) -> None:
    for spelled in (name, name.lower(), name.capitalize()):
        assert reason_for(spelled)


@pytest.mark.parametrize(
    "name",
    [
        *("PORT", "DB_HOST", "DB_PATH", "APP_PATH", "PATHS", "ENVIRONMENT", "NODE_ENV", "LDAP_URL"),
        *("HOST", "USER", "LANG", "TZ", "LOG_LEVEL", "HOMEPAGE", "GITHUB_URL", "JAVA", "SSHD"),
    ],
)
def test_the_names_of_applications_are_free(name: str) -> None:
    assert not reason_for(name)


def test_all_that_is_protected_is_refused_at_once_and_each_can_be_allowed() -> None:
    with pytest.raises(Rejected) as refused:
        environment(EVIL)

    assert [each.parameter for each in refused.value.problems] == list(NAMES)
    assert all(name in refused.value.detail for name in NAMES)
    with pytest.raises(Rejected) as refused:
        environment(EVIL, allowed=["path", "LD_PRELOAD"])
    assert [each.parameter for each in refused.value.problems] == list(NAMES[2:])
    assert environment(EVIL, allowed=NAMES)["PATH"] == "/tmp/evil"
    assert environment(EVIL, "APP_").keys() == {f"APP_{name}" for name in (*NAMES, "PORT")}
    with pytest.raises(Rejected):
        environment({"preload": 1}, "ld_")


@pytest.mark.parametrize("flags", [(), ("--export",)])
def test_env_refuses_them_with_their_names(
    shell: Shell, api: Api, name: str, flags: tuple[str, ...]
) -> None:
    api.put(name, EVIL)

    ran = shell.run("env", name, *flags)

    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert all(each in error_sentences(ran) for each in (*NAMES, "--allow-env"))
    assert "PATH=/tmp/evil" in shell.output("env", name, *flags, *ALLOW)


def test_exec_runs_nothing_with_them(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"ld": {"preload": ""}, "ps4": "evil"})
    command = ("--", "sh", "-c", "echo =$PS4")

    ran = shell.run("exec", "--service", name, *command)

    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert all(each in error_sentences(ran) for each in ("LD_PRELOAD", "PS4"))
    let = ("--allow-env", "PS4", "--allow-env", "ld_preload")
    assert shell.output("exec", "--service", name, *let, *command) == "=evil\n"


def test_exec_goes_on_with_what_it_has_when_they_come(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    words = ("exec", "--service", name, "--on-change", "restart")
    with shell.started(*words, "--", "sh", "-c", "echo =$N; exec sleep 60") as running:
        running.until(lambda: "=1" in running.output)
        api.put(name, {"n": 2, "path": "/tmp/evil"})
        running.until(lambda: "PATH" in running.output)
        api.put(name, {"n": 3})
        running.until(lambda: "=3" in running.output)

    assert "=2" not in lines_of(running.log)


def test_a_sidecar_writes_no_file_with_them(shell: Shell, api: Api, name: str) -> None:
    api.put(name, EVIL)
    file = shell.home / "app.env"
    target = {"service": name, "file": str(file)}

    ran = shell.once(target)

    assert ran.returncode == REFUSED
    assert all(each in ran.stderr for each in NAMES)
    assert not file.exists()
    assert shell.once({**target, "allow_env": list(NAMES)}).returncode == DONE
    assert "LD_PRELOAD=/tmp/evil.so\n" in text_of(file)
    flags = ("--service", name, "--file", "other.env", *ALLOW)
    shell.output("sidecar", "--once", *flags)
    assert text_of(shell.home / "other.env") == text_of(file)


@pytest.mark.parametrize("wrong", ["PATH", [1], {"PATH": 1}], ids=json.dumps)
def test_a_plan_that_allows_in_another_way_is_refused(shell: Shell, name: str, wrong: Any) -> None:
    ran = shell.once({"service": name, "file": "app.env", "allow_env": wrong})

    assert ran.returncode == REFUSED
    assert "/targets/0/allow_env" in error_sentences(ran)


def test_a_plan_and_a_permission_by_flag_are_wrong_usage(shell: Shell, name: str) -> None:
    plan = shell.write_plan({"service": name, "file": "app.env"})

    ran = shell.run("sidecar", "--once", "-c", str(plan), "--allow-env", "PATH")

    assert ran.returncode == USAGE


def test_the_environment_of_the_process_is_not_given_them_either() -> None:
    environ: dict[str, str] = {}

    with pytest.raises(Rejected, match="LD_PRELOAD"):
        fill_environ(EVIL, environ=environ)
    assert environ == {}
    assert set(fill_environ(EVIL, environ=environ, allow=NAMES)) == {*NAMES, "PORT"}


def test_help_does_not_print_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SECRET_OF_THIS_TEST", "hunter2")
    shown = io.StringIO()

    pydoc.Helper(output=shown).help(fill_environ)

    assert "fill_environ" in shown.getvalue()
    assert "hunter2" not in shown.getvalue()


def test_the_manual_lists_every_name_with_its_reason() -> None:
    manual = (ROOT / "docs" / "sidecar.md").read_text()

    for reason, names in PROTECTED:
        assert f"| {reason} | {' '.join(f'`{name}`' for name in names.split())} |\n" in manual
