"""Values are data: no command line, no framework and no new file makes more of them."""

import json
import os
import stat
from pathlib import Path
from typing import Any, ClassVar

import pytest

from distributed_config.client.integrations import dynaconf as into_dynaconf
from distributed_config.client.sidecar.command_line import shell_syntax
from distributed_config.errors import Rejected
from tests.support.server import Api, Server
from tests.support.shells import DONE, REFUSED, Shell, error_sentences, holds

# --- dynaconf


class Dynaconf(dict[str, Any]):
    """Takes commands out of text as dynaconf does, also when something is put in once more."""

    converters: ClassVar[dict[str, Any]] = {
        "@int": int,
        "@format": lambda text: text.format(env=os.environ),
    }

    def update(self, given: Any = (), **more: Any) -> None:
        for key, value in {**dict(given), **more}.items():
            self[key] = self.parsed(value)

    def parsed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.parsed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.parsed(each) for each in value]
        if not isinstance(value, str) or value.partition(" ")[0] not in self.converters:
            return value
        word, _, rest = value.partition(" ")
        return self.converters[word](rest)


@pytest.fixture
def settings(server: Server, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for variable, value in (("URL", server.url), ("SERVICE", name), ("SNAPSHOTS", tmp_path)):
        monkeypatch.setenv(f"DISTCONF_{variable}", str(value))
    return Dynaconf()


def test_the_stand_in_for_dynaconf_obeys_what_it_is_given() -> None:
    settings = Dynaconf()
    settings.update({"a": "@int 5"})

    assert settings == {"a": 5}


def test_dynaconf_finds_no_commands_in_values(settings: Any, api: Api, name: str) -> None:
    document = {
        "handle": "@int 5",
        "env": "@format {env[HOME]}",
        "deep": {"list": ["@int 6", {"x": "@format {env[HOME]}"}]},
        "plain": "a @int 5",
        "n": 5,
    }
    api.put(name, document)

    into_dynaconf.load(settings)
    assert settings == document
    settings.update(settings)  # as another loader does that merges something in
    assert settings == document
    assert json.loads(json.dumps(settings)) == document
    assert settings["handle"].partition(" ") == ("@int", " ", "5")
    settings["deep"]["list"].append("its own")


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"dynaconf_include": "/tmp/evil.py"}, "/dynaconf_include"),
        ({" DYNACONF_INCLUDE ": "/tmp/evil.py"}, "/ DYNACONF_INCLUDE "),
        ({"loaders_for_dynaconf": ["evil"]}, "/loaders_for_dynaconf"),
        ({"a": [{"dynaconf_merge": True}]}, "/a/0/dynaconf_merge"),
        ({"a": {"b": ["dynaconf_merge_unique", 1]}}, "/a/b/0"),
    ],
)
def test_what_dynaconf_would_obey_is_refused(
    settings: Any, api: Api, name: str, document: Any, pointer: str
) -> None:
    api.put(name, {"n": 1, **document})

    into_dynaconf.load(settings, silent=True)
    assert settings == {}
    with pytest.raises(Rejected) as refused:
        into_dynaconf.load(settings, silent=False)
    assert [each.pointer for each in refused.value.problems] == [pointer]


# --- commands of a plan


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("true && false", "&&"),
        ("a || b", "||"),
        ("a|b", "|"),
        ("a ; b", ";"),
        ("a;b", ";"),
        ("a > log", ">"),
        ("a >> log", ">>"),
        ("a 2>&1", ">&"),
        ("a < in", "<"),
        ("a &", "&"),
        ("kill $(cat pid)", "$(cat"),
        ('kill "$(cat pid)"', "$(cat"),
        ("""kill "'$(cat pid)'" """, "$(cat"),
        ("kill `cat pid`", "`"),
        ("nginx -c $CONF", "$CONF"),
        ("nginx -c ${CONF}", "${CONF}"),
        ("(a)", "("),
        ("a\nb", "\\n"),
        (["true", "&&", "false"], "&&"),
        (["a", ">", "log"], ">"),
        (["a", "2>&1"], "2>&1"),
        (["a", "|", "b", "||", "c"], "|"),
    ],
    ids=str,
)
def test_a_command_that_only_a_shell_understands_is_refused(
    shell: Shell, name: str, command: Any, found: str
) -> None:
    target = {"service": name, "file": "app.json", "check": command, "reload": command}

    ran = shell.once(target)

    assert ran.returncode == REFUSED
    said = error_sentences(ran)
    for word in ("/targets/0/check", "/targets/0/reload", '["sh", "-c", "…"]', found):
        assert word in said
    assert not (shell.home / "app.json").exists()


@pytest.mark.parametrize(
    "command",
    [
        "nginx -t -c {file}",
        "sh -c 'a && b > c; kill $(cat pid)'",
        r"find . -exec true {} \;",
        "grep -q 'a|b$' {file}",
        'grep -q "a|b; <c> &" {file}',
        r"grep -q a\|b",
        r'grep "x$" "\$HOME"',
        "test {file} -nt 5$",
        ["sh", "-c", "a && b > $(c); d | e"],
        ["grep", "a|b", "$HOME", "{file}"],
        ["python3", "-c", "print(1 > 2)"],
    ],
    ids=str,
)
def test_a_command_that_needs_no_shell_is_taken_as_it_is(command: Any) -> None:
    assert shell_syntax(command) == []


def test_a_check_in_a_shell_of_its_own_is_asked(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    target = {"service": name, "file": str(file)}

    refused = shell.once({**target, "check": ["sh", "-c", "true && false"]})
    assert (refused.returncode, file.exists()) == (REFUSED, False)
    assert shell.once({**target, "check": ["sh", "-c", "true && true"]}).returncode == DONE


# --- new files


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o600), (0o077, 0o600), (0o000, 0o600), (0o277, 0o400)], ids=oct
)
def test_a_new_file_is_for_its_user_alone(
    shell: Shell, api: Api, name: str, umask: int, mode: int
) -> None:
    api.put(name, {"password": "x"})
    file, link = shell.home / "new" / "app.json", shell.home / "live" / "app.json"

    before = os.umask(umask & 0o077)  # else the plan and the folders could not be written
    try:
        plan = shell.write_plan({"service": name, "file": str(file)}, {**LINKED, "service": name})
        file.parent.mkdir()
        link.parent.mkdir()
        os.umask(umask)
        ran = shell.run("sidecar", "--once", "-c", str(plan))
    finally:
        os.umask(before)

    assert ran.returncode == DONE, ran.stderr
    assert mode_of(file) == mode
    assert mode_of(link) == mode


LINKED = {"file": "live/app.json", "symlink": True}


def test_a_mode_that_is_asked_for_or_there_already_is_kept(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    there, asked = shell.home / "there.json", shell.home / "asked.json"
    there.write_text("old")
    there.chmod(0o664)

    targets = ({"file": str(there)}, {"file": str(asked), "mode": "0640"})
    ran = shell.once(*({"service": name, **each} for each in targets))

    assert ran.returncode == DONE
    assert (mode_of(there), mode_of(asked)) == (0o664, 0o640)
    assert holds(there, {"n": 1})


@pytest.mark.parametrize("command", [5, True, {"a": 1}, [1, "&&"], 1.5], ids=str)
def test_a_command_of_another_type_is_told_as_that(shell: Shell, name: str, command: Any) -> None:
    ran = shell.once({"service": name, "file": "app.json", "check": command})

    assert ran.returncode == REFUSED
    assert "/targets/0/check: It is of another type" in error_sentences(ran)
