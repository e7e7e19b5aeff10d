"""The commands get, put, patch, history, diff and rollback."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.support.server import Api
from tests.support.shells import (
    AWKWARD,
    CLIENT,
    DONE,
    REFUSED,
    USAGE,
    Shell,
    error_sentences,
    read_yaml,
)


def test_get_shows_a_configuration_in_every_output(shell: Shell, api: Api, name: str) -> None:
    document = {"z": 1.0, "a": {"ö": ["x", None]}, "large": AWKWARD["large"]}
    api.put(name, document)

    outputs = ("json", "table", "yaml")
    as_json, as_table, as_yaml = (
        ran.stdout for ran in shell.run_all(*(("get", name, "--output", each) for each in outputs))
    )

    assert as_json == api.get(name).text + "\n"
    assert json.loads(as_table) == document
    assert as_table.startswith('{\n  "z": 1.0,')
    assert read_yaml(as_yaml) == document


def test_get_shows_one_value_as_a_script_wants_it(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"db": {"host": "h", "on": False, "none": None, "n": [1, "ö"]}, "t": "a\nb"})
    shown = {"db.host": "h", "db.on": "false", "db.none": "", "db.n": '[1, "ö"]', "t": "a\nb"}

    ran = shell.run_all(*(("get", name, path) for path in (*shown, "db.absent")))

    assert [each.stdout for each in ran] == [*(f"{text}\n" for text in shown.values()), ""]
    assert ran[-1].returncode == REFUSED
    assert "db.absent" in error_sentences(ran[-1])
    assert shell.output("get", name, "t", "--output", "json") == '"a\\nb"\n'


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_get_shows_what_it_is_asked_for_in_every_output(
    shell: Shell, api: Api, name: str, output: str
) -> None:
    schema = {"type": "object", "properties": {"extra": {"type": "integer", "default": 7}}}
    api.define(name, schema)
    first = api.put(name, {"n": "first"}, definition=name).headers["config-revision"]
    api.put(name, {"n": "second"})

    asked = (("--version", "0"), ("--as-of", first), ("--defaults",))
    ran = shell.run_all(*(("get", name, "--output", output, *flags) for flags in asked))

    shown = [read_yaml(each.stdout) for each in ran]
    assert shown == [{"n": "first"}, {"n": "first"}, {"n": "second", "extra": 7}]


def test_put_takes_json_yaml_toml_and_standard_input(shell: Shell, api: Api, name: str) -> None:
    shell.home.joinpath("a.json").write_text('{"n": 1, "t": "ö"}')
    shell.home.joinpath("a.YML").write_text("n: 2\nt: ö\n")
    shell.home.joinpath("a.toml").write_text('n = 3\nt = "ö"\n')

    told = [shell.output("put", name, file) for file in ("a.json", "a.YML", "a.toml")]
    told.append(
        shell.output("put", name, "-", stdin='{"n": 4, "t": "ö"}', door="distributed_config")
    )
    told.append(shell.output("put", name, "-", stdin='{"n": 4, "t": "ö"}'))

    assert [each["document"] for each in api.versions(name)] == [
        {"n": number, "t": "ö"} for number in (1, 2, 3, 4)
    ]
    assert "version 3" in told[3]
    assert "already" in told[4]


def test_writes_keep_a_note_hold_a_condition_and_can_be_rehearsed(
    shell: Shell, api: Api, name: str
) -> None:
    stale = api.put(name, {"n": 0}).headers["etag"]
    etag = api.put(name, {"n": 1}).headers["etag"]

    shell.output("put", name, "-", "--dry-run", stdin='{"n": 5}')
    shell.output("patch", name, "n=5", "--dry-run")
    shell.output("rollback", name, "0", "--dry-run")
    late = shell.run("patch", name, "n=9", "--if-match", stale)
    shell.output("put", name, "-", "--if-match", etag, "--note", "ä note", stdin='{"n": 2}')
    shell.output("patch", name, "n=3", "--note", "ö note")
    shell.output("rollback", name, "0", "--note", "ü note")

    assert late.returncode == REFUSED
    error_sentences(late)
    versions = api.versions(name)
    assert [each["document"]["n"] for each in versions] == [0, 1, 2, 3, 0]
    assert [each["note"] for each in versions][2:] == ["ä note", "ö note", "ü note"]


@pytest.mark.parametrize("words", ["put NAME -", "patch NAME a=2", "rollback NAME 0"])
def test_a_note_of_two_lines_is_kept_by_every_write(
    shell: Shell, api: Api, name: str, words: str
) -> None:
    api.put(name, {"a": 0})
    api.put(name, {"a": 1})

    ran = shell.run(*words.replace("NAME", name).split(), "--note", "two\nlines", stdin='{"a": 2}')

    assert ran.returncode == DONE, ran.stderr
    assert api.versions(name)[2]["note"] == "two\nlines"


def test_patch_takes_json_where_it_is_json_and_text_otherwise(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"gone": 1, "kept": {"a": 1, "b": 2}})
    pairs = {
        "n=1": 1,
        "f=1.5": 1.5,
        "yes=true": True,
        "text=hello world": "hello world",
        'quoted="1"': "1",
        'list=[1, "a"]': [1, "a"],
        'object={"x": {"y": 1}}': {"x": {"y": 1}},
        "empty=": "",
        "equals=a=b==": "a=b==",
        "zeros=007": "007",
        "python=True": "True",
        "nan=NaN": "NaN",
        "endless=-Infinity": "-Infinity",
        "unicode=žluť": "žluť",
        "large=123456789012345678901234567890": 123456789012345678901234567890,
    }

    shell.output("patch", name, *pairs, "gone=null", "kept.b=3", "new.deep.er=4")

    found = api.get(name, version="current").json()
    assert found.pop("kept") == {"a": 1, "b": 3}
    assert found.pop("new") == {"deep": {"er": 4}}
    assert found == {pair.partition("=")[0]: value for pair, value in pairs.items()}


def test_patch_takes_a_patch_of_either_kind_from_a_file_and_from_standard_input(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1, "b": 2})
    shell.home.joinpath("merge.json").write_text('{"a": null, "c": 3}')

    shell.output("patch", name, "merge.json")
    shell.output("patch", name, "-", stdin='[{"op": "replace", "path": "/b", "value": "ö"}]')

    assert api.get(name, version="current").json() == {"b": "ö", "c": 3}


@pytest.mark.parametrize(
    "changes",
    [
        ["a=1", "a.b=2"],
        ["a=1", "forgotten"],
        ["notes.txt"],
    ],
    ids=" ".join,
)
def test_a_patch_that_makes_no_sense_changes_nothing_and_is_told_in_a_sentence(
    shell: Shell, api: Api, name: str, changes: list[str]
) -> None:
    api.put(name, {"kept": 1})
    shell.home.joinpath("notes.txt").write_text("not JSON")

    ran = shell.run("patch", name, *changes)

    assert api.get(name, version="current").json() == {"kept": 1}
    assert ran.returncode in {REFUSED, USAGE}
    error_sentences(ran)


def test_history_is_a_table_and_json_and_yaml(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 0}, note="the first")
    api.put(name, {"n": 1})
    api.enable(name, 1, False)

    table = shell.output("history", name).splitlines()
    rows = json.loads(shell.output("history", name, "--output", "json"))

    assert table[0].split() == ["VERSION", "STATE", "TIME", "AUTHOR", "NOTE"]
    assert [line.split()[:3] for line in table[1:]] == [
        ["1", "disabled", table[1].split()[2]],
        ["0", "*", "current"],
    ]
    assert table[2].endswith("the first")
    assert [row["number"] for row in rows] == [1, 0]
    assert read_yaml(shell.output("history", name, "--output", "yaml")) == rows
    assert shell.output("history", name, "--quiet").splitlines() == table[1:]


def test_a_long_history_is_told_whole_and_in_a_line_for_each_version(
    shell: Shell, api: Api, name: str
) -> None:
    for number in range(120):
        api.put(name, {"n": number}, note="two\nlines" if number % 50 == 0 else "")

    rows = json.loads(shell.output("history", name, "--output", "json"))
    lines = shell.output("history", name, "--quiet").splitlines()

    assert [row["number"] for row in rows] == list(range(120))[::-1]
    assert [line.split()[0] for line in lines] == [f"{row['number']}" for row in rows]


def test_diff_is_for_people_and_for_programs(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": 1})
    api.put(name, {"a": 2, "b": 1})

    text = shell.output("diff", name, "0", "1")
    assert '-  "a": 1' in text
    assert '+  "a": 2' in text
    assert "\x1b" not in text
    assert json.loads(shell.output("diff", name, "0", "1", "--output", "json")) == [
        {"op": "replace", "path": "/a", "value": 2}
    ]


def on_a_terminal(shell: Shell, *words: str, **variables: str) -> str:
    """What a command shows to somebody who sits before it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", CLIENT, *words]
    subprocess.run(command, env=shell.environment(**variables), stdout=theirs, check=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # so a terminal ends
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals_whose_users_want_them(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1})
    api.put(name, {"a": 2})

    assert "\x1b[31m" in on_a_terminal(shell, "diff", name, "0", "1")
    assert "\x1b" not in on_a_terminal(shell, "diff", name, "0", "1", NO_COLOR="1")


def test_writes_tell_what_they_did_in_every_output(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 0})

    assert json.loads(shell.output("patch", name, "a=1", "--output", "json")) == {
        "service": name,
        "version": 1,
        "changed": True,
    }
    assert json.loads(shell.output("rollback", name, "0", "--output", "json"))["version"] == 2
    again = shell.output("put", name, "-", "--output", "json", stdin='{"a": 0}')
    assert json.loads(again) == {"service": name, "version": 2, "changed": False}
    assert "version 3" in shell.output("patch", name, "a=3")


@pytest.mark.parametrize(
    "words", ["put NAME -", "patch NAME a=2", "rollback NAME 0", "diff NAME 0 1"]
)
def test_yaml_is_yaml(shell: Shell, api: Api, name: str, words: str) -> None:
    api.put(name, {"a": 1})
    api.put(name, {"a": 0})

    told = shell.output(*words.replace("NAME", name).split(), "--output", "yaml", stdin='{"a": 0}')

    version = {"put": 1, "patch": 2, "rollback": 2}
    if words.startswith("diff"):
        assert read_yaml(told) == [{"op": "replace", "path": "/a", "value": 0}]
    else:
        assert read_yaml(told)["version"] == version[words.split(maxsplit=1)[0]]


def test_quiet_writes_say_nothing(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 0})

    told = shell.output("put", name, "-", "-q", stdin='{"a": 1}')
    told += shell.output("patch", name, "a=2", "--quiet")

    assert told == ""
    assert len(api.versions(name)) == 3
    assert error_sentences(shell.run("get", "absent", "--quiet"))


def test_a_reader_that_goes_away_is_no_fault(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"text": "x" * 200_000})
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", CLIENT, "get", name]

    ran = subprocess.run(
        command, env=shell.environment(), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)

    assert ran.stderr == b""


def test_an_output_that_cannot_be_written_is_told_in_a_sentence(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    command = [sys.executable, "-m", CLIENT, "get", name]

    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            command,
            env=shell.environment(PYTHONUNBUFFERED=""),  # so it fails at the end alone
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ran.returncode == REFUSED
    assert "space left on device: the output" in error_sentences(ran)


def test_an_output_that_is_closed_or_cannot_hold_what_is_said_is_no_stack(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": "é"})
    command = f"exec {sys.executable} -m {CLIENT} get {name} n"

    def ran(how: str) -> "subprocess.CompletedProcess[str]":
        words = ["sh", "-c", f"{how} {command}" if "=" in how else f"{command} {how}"]
        environment = shell.environment()
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, cwd=shell.home
        )

    closed = ran(">&-")
    assert (closed.returncode, closed.stderr) == (DONE, "")
    assert ran(">&- 2>&-").returncode == DONE
    narrow = ran("PYTHONIOENCODING=ascii")
    assert narrow.returncode == REFUSED
    assert "PYTHONIOENCODING" in error_sentences(narrow)


def test_put_with_a_key_and_value_names_the_command_that_takes_them(
    shell: Shell, name: str
) -> None:
    ran = shell.run("put", name, "log=DEBUG")

    assert ran.returncode == 1
    assert "`distconf patch` takes KEY=VALUE" in ran.stderr
