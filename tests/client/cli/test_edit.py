"""The command edit, with editors that are scripts."""

import sys
from pathlib import Path

import pytest

from distributed_config.client.cli.problem_lines import places_in
from tests.support.server import Api
from tests.support.terminals import Terminal

FIRST = {"port": 8080, "hosts": ["a", {"name": "b"}], "db": {"port": 1}}


def editor(terminal: Terminal, *scripts: str) -> dict[str, str]:
    """Return the variables of an editor that runs one of ``scripts`` each time, with the file $1.

    What it is shown is kept as seen-1, seen-2, … in the home folder.
    """
    lines = ["#!/bin/sh", 'n=$(($(ls seen-* 2>/dev/null | wc -l) + 1)); cp "$1" "seen-$n"']
    lines += [
        f'if [ "$n" = {number} ]; then {script}; fi' for number, script in enumerate(scripts, 1)
    ]
    file = terminal.home / "the editor"
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o755)
    return {"EDITOR": f"'{file}'"}


def seen(terminal: Terminal, number: int) -> str:
    return (terminal.home / f"seen-{number}").read_text()


def test_what_is_edited_becomes_the_next_version(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, FIRST)

    said = terminal.output(
        "edit", name, "--note", "why", **editor(terminal, "sed -i s/8080/9090/ $1")
    )

    assert said == f"{name} is at version 1.\n"
    assert seen(terminal, 1).startswith('{\n  "port": 8080,')
    assert store.versions(name)[1]["document"] == {**FIRST, "port": 9090}
    assert store.versions(name)[1]["note"] == "why"


def test_visual_comes_before_editor(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, FIRST)

    done = terminal.run("edit", name, VISUAL="true", EDITOR="false")

    assert (done.returncode, done.stderr) == (0, "distconf: nothing was changed.\n")


def test_what_is_unchanged_makes_no_version(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, FIRST)

    for variables in (editor(terminal, "touch $1"), {"EDITOR": "false"}):
        done = terminal.run("edit", name, **variables)
        assert done.stderr == "distconf: nothing was changed.\n"

    assert len(store.versions(name)) == 1


def test_the_file_is_its_users_alone_and_gone_afterwards(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(f"team/{name}", FIRST)
    script = 'stat -c %a "$(dirname "$1")" > mode; echo "$1" > path'

    terminal.run("edit", f"team/{name}", **editor(terminal, script))

    assert (terminal.home / "mode").read_text() == "700\n"
    path = Path((terminal.home / "path").read_text().strip())
    assert path.name == f"{name}.json"
    assert not path.parent.exists()


def test_problems_stand_above_the_text_with_their_lines(
    terminal: Terminal, store: Api, name: str
) -> None:
    number = {"type": "integer"}
    schema = {
        "properties": {"port": number, "db": {"properties": {"port": number}}},
        "required": ["port"],
    }
    store.define(name, schema)
    store.put(name, FIRST, definition=name)
    wrong = """sed -i 's/8080/"x"/; s/"port": 1$/"port": 1.5/' $1"""
    right = """sed -i 's/"x"/9090/; s/1.5/2/' $1"""

    said = terminal.output("edit", name, **editor(terminal, wrong, right))

    block, *lines = seen(terminal, 2).splitlines()
    assert block.startswith("#! It is not published yet")
    assert lines[0] == "#! line 5  /port  It must be a whole number."
    assert lines[1] == "#! line 13  /db/port  It must be a whole number."
    assert seen(terminal, 2).splitlines()[4] == '  "port": "x",'
    assert seen(terminal, 2).splitlines()[12] == '    "port": 1.5'
    assert said == f"{name} is at version 1.\n"
    assert store.get(name, version="current").json() == {**FIRST, "port": 9090, "db": {"port": 2}}


def test_a_text_that_is_no_json_is_shown_with_its_line(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, FIRST)

    done = terminal.run(
        "edit", name, **editor(terminal, "sed -i 's/8080,/8080/' $1", "sed -i 's/8080/8080,/' $1")
    )

    problem = seen(terminal, 2).splitlines()[1]
    assert "line 5" in problem, problem
    assert done.returncode == 0
    assert len(store.versions(name)) == 1


def test_who_gives_up_keeps_what_they_wrote(
    terminal: Terminal, store: Api, name: str, tmp_path: Path
) -> None:
    store.put(name, FIRST)
    (tmp_path / "tmp").mkdir()
    variables = editor(terminal, "echo '{\"mine\": 1' > $1", "true")

    done = terminal.run("edit", name, TMPDIR=str(tmp_path / "tmp"), **variables)

    assert done.returncode == 1
    [copy] = (tmp_path / "tmp").iterdir()
    assert copy.read_text() == '{"mine": 1\n'
    assert copy.stat().st_mode & 0o077 == 0
    assert str(copy) in done.stderr
    assert len(store.versions(name)) == 1


def test_what_somebody_else_published_meanwhile_is_not_overwritten(
    terminal: Terminal, store: Api, name: str, tmp_path: Path
) -> None:
    store.put(name, FIRST)
    (tmp_path / "tmp").mkdir()
    other = f"{sys.executable} -m distributed_config.client set {name} port=1 -q --url {store.url}"
    other += " --token-file administrator.token"
    variables = editor(terminal, f"{other}; sed -i s/8080/9090/ $1")

    done = terminal.run("edit", name, TMPDIR=str(tmp_path / "tmp"), **variables)

    assert done.returncode == 1
    assert "meanwhile" in done.stderr
    assert store.get(name, version="current").json()["port"] == 1
    [copy] = (tmp_path / "tmp").iterdir()
    assert "9090" in copy.read_text()


def test_a_document_is_edited_as_yaml(terminal: Terminal, store: Api, name: str) -> None:
    store.put(name, FIRST)
    wrong, right = "sed -i 's/8080/{/' $1", "sed -i 's/{/9090/' $1"

    terminal.output("edit", name, "--format", "yaml", **editor(terminal, wrong, right))

    assert seen(terminal, 1).startswith("port: 8080\n")
    assert seen(terminal, 2).startswith("#! It is not published yet")
    assert store.get(name, version="current").json() == {**FIRST, "port": 9090}


def test_a_service_that_is_not_there_is_begun(terminal: Terminal, store: Api, name: str) -> None:
    nothing = terminal.run("edit", name, EDITOR="true")
    terminal.output("edit", name, **editor(terminal, "echo '{\"n\": 1}' > $1"))

    assert nothing.returncode == 0
    assert seen(terminal, 1) == "{}\n"
    assert store.get(name).json() == {"n": 1}


def test_secrets_that_one_may_not_read_stay_as_they_are(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, {"n": 1, "password": "p"})
    query = {"service": name}
    store.http.put("/api/v1/services/secrets", params=query, json={"pointers": ["/password"]})
    secret = terminal.value("tokens", "create", "an editor", "--role", "editor")["token"]
    token = terminal.write("editor.token", secret)

    terminal.output("edit", name, "--token-file", token, **editor(terminal, "sed -i 's/1/2/' $1"))

    assert '"password": "•••"' in seen(terminal, 1)
    assert store.get(name, version="current").json() == {"n": 2, "password": "p"}


def test_an_editor_that_is_not_there_is_told_in_a_sentence(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, FIRST)

    done = terminal.run("edit", name, EDITOR="/absent/editor")

    assert done.returncode == 1
    assert done.stderr.startswith("distconf: No such file or directory: /absent/editor")


def test_without_a_terminal_an_editor_has_to_be_named(
    terminal: Terminal, store: Api, name: str
) -> None:
    store.put(name, FIRST)

    nobody = terminal.run("edit", name, VISUAL="", EDITOR="")
    wrong = terminal.run("edit", name, EDITOR="'unbalanced")

    assert (nobody.returncode, "EDITOR" in nobody.stderr) == (2, True)
    assert (wrong.returncode, "EDITOR" in wrong.stderr) == (1, True)


# --- where a value is


TEXTS = {
    "json": (
        '{"a": 1,\n "b": {\n  "c~/": [1,\n   {"d": 2}, [\n3]]},\n "e": ","}\n',
        {
            "/a": 1,
            "/b": 2,
            "/b/c~0~1": 3,
            "/b/c~0~1/0": 3,
            "/b/c~0~1/1": 4,
            "/b/c~0~1/1/d": 4,
            "/b/c~0~1/2": 4,
            "/b/c~0~1/2/0": 5,
            "/e": 6,
        },
    ),
    "yaml": (
        'a: 1\nb:\n  # c: no\n  "c d": 2\n  e:\n    f: x\ng: 3\n',
        {"/a": 1, "/b": 2, "/b/c d": 4, "/b/e": 5, "/b/e/f": 6, "/g": 7},
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_line_of_every_value_is_known(kind: str) -> None:
    text, places = TEXTS[kind]

    assert places_in(text, kind) == places


@pytest.mark.parametrize("text", ["", "}", "]]", '{"a": [', '{"a"', '"\\u12', ",:{[,", "{]}:"])
def test_a_text_that_is_broken_anywhere_breaks_nothing(text: str) -> None:
    assert isinstance(places_in(text, "json"), dict)
    assert isinstance(places_in(text, "yaml"), dict)
