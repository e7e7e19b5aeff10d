"""Decisions about the code's shape, held as tests."""

import ast
import re
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "distributed_config"

# A room may import rooms of the floors below its own, and itself.
FLOORS = (
    {"errors"},
    {"wire", "settings"},
    {"formats", "json_schema"},
    {"models", "client"},
    {"services"},
    {"store"},
    {"schemas"},
    {"live"},
    {"asgi", "http"},
    {"identity"},
    {"api", "dialects"},
    {"app"},
    {"commands"},
    {"wsgi", "gunicorn_conf", "cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

WEB = {"flask", "flask_sqlalchemy", "flask_migrate", "werkzeug", "marshmallow"}
FORBIDDEN = {
    "errors": WEB | {"sqlalchemy"},
    "wire": WEB | {"sqlalchemy"},
    "formats": WEB | {"sqlalchemy"},
    "client": WEB | {"sqlalchemy", "structlog", "click", "ruamel", "tomli_w", "jsonschema_rs"},
    "json_schema": WEB | {"sqlalchemy"},
    "settings": WEB | {"sqlalchemy"},
    "models": WEB,
    "services": WEB,
    "store": WEB,
    "live": WEB,
    "schemas": WEB - {"marshmallow"} | {"sqlalchemy"},
    "asgi": WEB | {"sqlalchemy"},
    "identity": {"sqlalchemy", "flask_sqlalchemy"},
    "api": {"sqlalchemy", "flask_sqlalchemy"},
    "dialects": {"sqlalchemy", "flask_sqlalchemy"},
}
# A module that is loaded by its name escapes the rules; each of these says why it does so.
LOADING_BY_NAME = {
    "app.py",
    "cli.py",
    "group.py",
    "refusals.py",
    "serve.py",
    "wsgi.py",
    "gunicorn_conf.py",
    "client/__init__.py",
    "client/http/profiles.py",
    "formats/__init__.py",
}


CLIENT_MAY_IMPORT = {"errors", "wire", "client"}
# These need only words themselves; the other formats need libraries.
CLIENT_MAY_WRITE = {"env", "properties"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def modules_of(tree: ast.AST, known: Container[str]) -> Iterator[str]:
    """The modules of ``known`` that are imported; a package only where one of its own names is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{name.name}" for name in node.names)
            yield from (name if name in known else node.module or "" for name in names)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_itself_and_the_floors_below(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not list(imports_of(ast.parse(path.read_text())))
        return
    for name in imports_of(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "distributed_config" and len(parts) > 1 and parts[1] in FLOOR_OF:
            below = FLOOR_OF[parts[1]] < FLOOR_OF[room]
            assert below or parts[1] == room, f"{room} imports {name}"
        assert parts[0] not in FORBIDDEN.get(room, set()), f"{room} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "client").rglob("*.py")), ids=lambda p: p.name)
def test_the_client_needs_nothing_but_the_standard_library_and_words(path: Path) -> None:
    for name in imports_of(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "distributed_config":
            words = len(parts) == 1 or parts[1] in CLIENT_MAY_IMPORT
            assert words or (parts[1] == "formats" and parts[2] in CLIENT_MAY_WRITE), name
        elif path.stem != parts[0]:  # an integration is named as what it needs
            assert parts[0] in sys.stdlib_module_names, name


def test_only_few_modules_load_others_by_name() -> None:
    loading = {
        path.relative_to(PACKAGE).as_posix()
        if room_of(path) in {"client", "formats"}
        else path.name
        for path in sources()
        if "import_module" in path.read_text()
    }
    assert loading == LOADING_BY_NAME


def test_no_two_modules_import_each_other() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sources()
    }
    graph = {
        name: set(modules_of(ast.parse(path.read_text()), names)) & names.keys() - {name}
        for name, path in names.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in sources()} == {*FLOOR_OF, "__init__"}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_inside_a_function(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    inside = [name for function in functions for name in imports_of(function)]
    assert inside == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_broad_except_states_its_reason(path: Path) -> None:
    for line in path.read_text().splitlines():
        if re.search(r"except (Base)?Exception\b", line):
            assert "#" in line, line


# They read numbers, or hand them on; none of them chooses one for an error of ours.
_SPEAKING_HTTP = {
    "problems.py",
    "openapi.py",
    "docs.py",
    "wsgi_bridge.py",
    "transport.py",
    "smoke.py",
    "websocket.py",
}


def test_the_status_numbers_of_errors_are_chosen_in_one_file() -> None:
    """Elsewhere they stand only where a door says with which ones it may refuse.

    A dialect has the numbers of the API that it speaks.
    """
    outside = []
    for path in sources():
        if path.name in _SPEAKING_HTTP or room_of(path) == "dialects":
            continue
        tree = ast.parse(path.read_text())
        declared = {
            id(constant)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword) and node.arg == "refusals"
            for constant in ast.walk(node)
        }
        outside += [
            f"{path.name}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, int)
            if 400 <= node.value <= 451 or 500 <= node.value <= 511
            if id(node) not in declared and node.value != 500
        ]
    assert outside == []


def test_the_error_tree_at_the_top_of_its_file_is_the_tree() -> None:
    text = (PACKAGE / "errors.py").read_text()
    drawn = set(re.findall(r"── (\w+)", text)) | {"DistconfError"}
    defined = set(re.findall(r"^class (\w+)\(", text, re.MULTILINE)) - {"Problem"}
    assert drawn == defined
