"""The files and templates that a sidecar writes."""

import json
import tomllib
from typing import Any

from tests.support.server import Api
from tests.support.shells import (
    AWKWARD,
    DONE,
    REFUSED,
    Shell,
    as_the_shell_reads,
    holds,
    properties_in,
    read_yaml,
)


def test_every_format_holds_the_configuration(shell: Shell, api: Api, name: str) -> None:
    document = {key: value for key, value in AWKWARD.items() if key != "large"}
    document["a key"] = "with: colon = and # more"
    api.put(name, document)
    files = {
        kind: shell.home / f"app.{kind}" for kind in ("json", "yaml", "toml", "env", "properties")
    }
    targets = [{"service": name, "file": str(file)} for file in files.values()]
    targets.append({"service": name, "file": str(shell.home / "app.conf"), "format": "yaml"})

    ran = shell.once(*targets)

    assert ran.returncode == DONE, ran.stderr
    text = {kind: file.read_bytes().decode() for kind, file in files.items()}
    assert json.loads(text["json"]) == document
    assert read_yaml(text["yaml"]) == document
    assert (shell.home / "app.conf").read_text() == text["yaml"]
    assert tomllib.loads(text["toml"]) == document
    variables = as_the_shell_reads('. "$1"', str(files["env"]))
    assert variables["LINES"] == document["lines"]
    assert variables["DOLLARS"] == document["dollars"]
    assert variables["A_KEY"] == document["a key"]
    found = properties_in(text["properties"])
    assert found["db.host"] == "h"
    assert found["a key"] == document["a key"]
    for key in ("quotes", "lines", "dollars", "unicode", "separators", "carriage", "stars"):
        assert found[key] == document[key]


def test_properties_keep_the_blanks_that_a_value_begins_with(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"secret": "  x ", "tab": "\tx", "feed": "\fx"})
    file = shell.home / "app.properties"

    assert shell.once({"service": name, "file": str(file)}).returncode == DONE

    assert properties_in(file.read_text()) == {"secret": "  x ", "tab": "\tx", "feed": "\fx"}


def test_defaults_are_filled_in_where_they_are_asked_for(shell: Shell, api: Api, name: str) -> None:
    api.define(name, {"type": "object", "properties": {"extra": {"type": "integer", "default": 7}}})
    api.put(name, {"n": 1}, definition=name)
    bare, full, yaml = (shell.home / each for each in ("bare.json", "full.json", "full.yaml"))

    ran = shell.once(
        {"service": name, "file": str(bare)},
        {"service": name, "file": str(full), "defaults": True},
        {"service": name, "file": str(yaml), "defaults": True},
    )

    assert ran.returncode == DONE
    assert holds(bare, {"n": 1})
    assert holds(full, {"n": 1, "extra": 7})
    assert read_yaml(yaml.read_text()) == {"n": 1, "extra": 7}


def templated(shell: Shell, service: str, template: str, **more: Any) -> tuple[int, str, str]:
    """Exit code, file and log of a sidecar that fills in a template once."""
    source, file = shell.home / "app.template", shell.home / "app.conf"
    source.write_bytes(template.encode())
    target = {"service": service, "file": str(file), "template": str(source), **more}
    ran = shell.once(target)
    return ran.returncode, file.read_bytes().decode() if file.exists() else "", ran.stderr


def test_a_template_is_filled_in_and_values_are_data(shell: Shell, api: Api, name: str) -> None:
    hostile = "${db.host} $$ ${absent} $(id) `id` {file} %s {0} \\1 \\n"
    document = {"db": {"host": "h", "port": 5432}, "evil": hostile, "off": False, "none": None}
    api.put(name, {**document, "list": [1, "ö"], "${db.host}": "key"})
    cases = {
        "${db.host}:${db.port}": "h:5432",
        "${evil}": hostile,
        "$${db.host} $$$$ $5 $host $": "${db.host} $$ $5 $host $",
        "$$${db.host}": "$h",
        "${absent:-plain ${x}": "plain ${x",
        "${absent:-} ${off:-x} ${none:-x} ${db.absent:-$$}": " false  $$",
        "${db.host.deeper:-d} ${list}": 'd [1, "ö"]',
    }

    code, text, log = templated(shell, name, "\n".join(cases))

    assert code == DONE, log
    assert text.split("\n") == list(cases.values())


def test_a_template_tells_every_name_that_is_missing_and_the_file_stays(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"here": 1})
    (shell.home / "app.conf").write_text("old")

    code, text, log = templated(shell, name, "${here} ${a.b} ${c:-} ${d} ${here.e}")

    assert (code, text) == (REFUSED, "old")
    assert all(each in log for each in ("a.b", "d", "here.e"))
    assert "Traceback" not in log


def test_a_template_keeps_its_line_ends(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1})

    assert templated(shell, name, "[x]\r\na=${a}\r\n")[1] == "[x]\r\na=1\r\n"


def test_a_template_with_a_place_that_cannot_be_read_is_refused(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1})
    targets = []
    for number, template in enumerate(("${}", "${a:b}", "${a")):
        (shell.home / f"{number}.template").write_text(template)
        file = {"file": str(shell.home / f"{number}.conf")}
        targets.append({"service": name, "template": f"{number}.template", **file})

    assert shell.once(*targets).returncode == REFUSED

    assert [each.name for each in shell.home.glob("*.conf")] == []
