"""Help as a page, versions, typing errors, and what happens to each command without arguments."""

import re
import subprocess
import sys

import pytest

from distributed_config.client.cli.commands import COMMANDS
from distributed_config.commands.names import OWN
from tests.support.server import Api
from tests.support.shells import UNREACHABLE, Shell
from tests.support.terminals import Terminal

_WORDS = """
    list show get put patch set unset edit history log diff rollback disable enable delete tag
    watch explain promote export import definitions environments organisations users roles tokens
    memberships audit whoami login logout profile open completion
"""


def test_help_is_a_page_that_lists_every_command_in_its_group(stranger: Terminal) -> None:
    page = stranger.output("help")

    groups = re.findall(r"^(\S.*):\n((?:  .*\n)+)", page, re.MULTILINE)
    listed = {name for _, lines in groups for name in re.findall(r"^  (\S+)", lines, re.MULTILINE)}
    assert listed == {*COMMANDS, *OWN}
    assert listed >= set(_WORDS.split())
    assert [title for title, _ in groups][:2] == ["Read configurations", "Change configurations"]
    assert "Exit codes: 0 done, 1 refused" in page
    assert "--local" in page
    assert max(map(len, page.splitlines())) <= 100
    assert stranger.output("--help") == stranger.output("-h") == page


def test_a_client_alone_has_no_commands_of_the_server(shell: Shell) -> None:
    page = shell.output("help")

    assert "On the server's own machine" not in page
    assert "--local" not in page


def alone(stranger: Terminal, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as where the server's packages are not installed."""
    script = (
        "import sys; from distributed_config.commands import missing\n"
        "missing.find_unmet = lambda: ['flask>=3.1']\n"
        "from distributed_config.cli import main; main(sys.argv[1:])"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env=stranger.shell.environment(DISTCONF_URL=""),
        capture_output=True,
        text=True,
        check=False,
    )


def test_where_the_server_is_not_installed_its_commands_are_not_shown(
    stranger: Terminal, nowhere: str
) -> None:
    page = alone(stranger, "help")
    served = alone(stranger, "serve")
    exported = alone(stranger, "export", "--url", nowhere)
    on_file = alone(stranger, "export", "--local")

    assert "On the server's own machine" not in page.stdout
    assert "pip install --upgrade 'distributed-config[server]'" in page.stdout
    assert (served.returncode, "lacks flask>=3.1" in served.stderr) == (1, True)
    assert exported.returncode == UNREACHABLE
    assert alone(stranger, "export", "--help").stdout.count("--token-file") >= 1
    assert (on_file.returncode, "lacks flask>=3.1" in on_file.stderr) == (1, True)


def test_credentials_that_cannot_be_read_are_no_reason_to_take_the_file(
    stranger: Terminal,
) -> None:
    stranger.write(".config/distconf/credentials.json", "garbage")

    assert "credentials.json" in stranger.refused("export")


@pytest.mark.parametrize("words", ["get", "users", "users create", "export", "serve", "db check"])
def test_help_explains_one_command(stranger: Terminal, words: str) -> None:
    shown = stranger.output("help", *words.split())

    assert shown == stranger.output(*words.split(), "--help")
    assert shown.lower().startswith(f"usage: distconf {words}")


def test_the_version_is_that_of_the_package(stranger: Terminal) -> None:
    assert re.fullmatch(r"distconf, version \d+\.\d+\.\d+\n", stranger.output("--version"))


def test_a_command_that_was_typed_wrong_is_guessed(stranger: Terminal) -> None:
    assert "Did you mean list" in stranger.misused("lsit")
    assert "Did you mean history?" in stranger.misused("histroy")
    assert "Did you mean backup?" in stranger.misused("backpu")
    nonsense = stranger.misused("xyzzy")
    assert "Did you mean" not in nonsense
    assert "`distconf help` lists all." in nonsense


def test_a_flag_that_was_typed_wrong_is_guessed(stranger: Terminal) -> None:
    assert "Did you mean --environment?" in stranger.misused("get", "web", "--enviroment", "prod")
    assert "Did you mean --must-change?" in stranger.misused("users", "change", "a", "--must-chng")
    assert "comes after a command" in stranger.misused("--output", "list")


def test_a_service_that_was_typed_wrong_is_guessed(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {})
    wrong = name[:-1]

    for words in (("get", wrong), ("history", wrong), ("set", wrong, "a=1"), ("show", wrong)):
        assert f"  Did you mean {name}" in terminal.refused(*words), words


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_has_help_of_its_own(stranger: Terminal, guarded: object, name: str) -> None:
    flags = () if name in {"profile", "completion"} else ("--url", "http://localhost:1")
    shown = stranger.output(name, *flags, "--help")

    assert shown.startswith(f"usage: distconf {name} ")


def test_a_command_loads_only_what_it_needs(shell: Shell) -> None:
    script = (
        "import sys; from distributed_config.cli import main\n"
        "try: main(['get', 'web', '--url', 'http://127.0.0.1:1/x y'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=shell.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    loaded = set(done.stdout.split())
    assert "distributed_config.client.cli.reading" in loaded
    others = {"unittest", "click", "flask", "asyncio", "webbrowser", "importlib.metadata"}
    assert not others & loaded
    ours = {each for each in loaded if each.startswith("distributed_config.client")}
    assert not {each for each in ours if re.search("sidecar.sidecar|live|smoke|editing", each)}
