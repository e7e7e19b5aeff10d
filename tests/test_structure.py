"""Decisions about the code's shape, held as tests."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Container, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

from tests.support.source import FLOOR_OF, PACKAGE, ROOT, imports_of, room_of, sources

TESTS = ROOT / "tests"

# --- limits: each may be tightened, and none is loosened. Where the code has not arrived yet, the
# comment says what is aimed at.

MEDIAN_FUNCTION = 7  # lines
LONG_FUNCTION = 30  # lines
SHORT_FUNCTIONS = 0.98  # the share of functions that are not longer than LONG_FUNCTION

LONGEST_FILE = 500
LONG_FILE = 400  # a longer one gives its reason, in a sentence that begins with "One file:"
LONGEST_TEST_FILE = 900

COMMENTS = 0.03  # whole-line comments as a share of the package's lines

# Words of the idiom that this code once had, with how many are left.
IDIOM = {
    "behind": 18,  # the rest is ordinary: behind a proxy, behind the clock
    "anew": 0,  # for "again"
    "the same": 0,  # at the start of a docstring
    "who": 3,  # sentences without another subject
    "participles": 17,  # told, asked, kept or made in an identifier
}

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
    "web": {"sqlalchemy", "flask_sqlalchemy"},
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
    "client/cli/main.py",  # of its commands, the one that is used
    "client/cli/profiles.py",
    "formats/__init__.py",
}


CLIENT_MAY_IMPORT = {"errors", "wire", "client"}
# These need only words themselves; the other formats need libraries.
CLIENT_MAY_WRITE = {"env", "properties"}


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


def test_the_error_tree_at_the_top_of_its_room_is_the_tree() -> None:
    room = PACKAGE / "errors"
    drawn = set(re.findall(r"── (\w+)", (room / "__init__.py").read_text())) | {"DistconfError"}
    text = "".join(path.read_text() for path in room.glob("*.py"))
    defined = set(re.findall(r"^class (\w+)\(", text, re.MULTILINE))
    assert drawn == defined


# --- size


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@cache
def function_lengths() -> list[int]:
    """Return the lengths in lines of all functions of the package, decorators left out."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_functions_are_short() -> None:
    lengths = function_lengths()
    short = sum(length <= LONG_FUNCTION for length in lengths) / len(lengths)

    assert median(lengths) <= MEDIAN_FUNCTION
    assert short >= SHORT_FUNCTIONS, f"{short:.1%} of the functions are short"


def test_files_are_short_or_say_why_they_are_not() -> None:
    lengths = {path.relative_to(PACKAGE).as_posix(): len(lines_of(path)) for path in sources()}
    unexplained = {
        name
        for name, length in lengths.items()
        if length > LONG_FILE
        and "One file:" not in (ast.get_docstring(ast.parse((PACKAGE / name).read_text())) or "")
    }

    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}
    assert unexplained == set()


def test_test_files_are_short() -> None:
    lengths = {path.name: len(lines_of(path)) for path in TESTS.rglob("*.py")}

    assert {name: n for name, n in lengths.items() if n > LONGEST_TEST_FILE} == {}


# --- comments and language


def test_enough_comments_say_why() -> None:
    lines = [line for path in sources() for line in lines_of(path)]
    comments = sum(line.lstrip().startswith("#") for line in lines)

    assert comments / len(lines) >= COMMENTS, f"{comments} of {len(lines)} lines"


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def identifiers(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.string


def prose() -> Iterator[str]:
    """Yield the texts of the package and of the manual, with what is not prose among them."""
    for path in (*sources(), ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield path.read_text()


# A server can be behind a proxy, and a client can fall behind: these are places, and not times.
_PLACES = r"(?!( \S+){0,2} (proxy|proxies|ingress|balancer|firewall|NAT|TLS))"
_PARTICIPLES = {"told", "asked", "kept", "made"}


def idiom() -> dict[str, int]:
    """Count what is left of the idiom."""
    texts = list(prose())
    starts = [docstring for path in sources() for docstring in docstrings(path)]
    names = [name for path in sources() for name in identifiers(path)]
    return {
        "behind": sum(len(re.findall(rf"\bbehind\b{_PLACES}", text)) for text in texts),
        "anew": sum(len(re.findall(r"\banew\b", text)) for text in texts),
        "the same": sum(text.startswith("The same") for text in starts),
        "who": sum(len(re.findall(r"(?:^|[.;:] |\"\"\")Who(?:ever)? ", text)) for text in texts),
        "participles": sum(
            not _PARTICIPLES.isdisjoint(name.lower().split("_"))
            for name in names
            if name != "connection_made"  # asyncio's
        ),
    }


def test_the_idiom_is_gone() -> None:
    left = idiom()

    assert {word: count for word, count in left.items() if count > IDIOM[word]} == {}


# --- tests


def test_no_test_file_imports_another_one() -> None:
    """What several of them need is in tests/support: else one cannot be split or moved alone."""
    importing = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("test_*.py")
        for name in imports_of(ast.parse(path.read_text()))
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    }

    assert importing == set()


def test_every_promise_names_its_tests_and_they_are_there() -> None:
    table = ast.get_docstring(ast.parse((TESTS / "promises" / "__init__.py").read_text())) or ""
    defined = {
        f"{path.relative_to(ROOT).parent.parts[:2][-1]}/{name}"
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    parts = re.split(r"^(P\d+) ", table, flags=re.MULTILINE)[1:]
    promises = dict(zip(parts[::2], parts[1::2], strict=True))
    absent = [
        name
        for name in re.findall(r"^ +(\w+/test_\w+)$", table, re.MULTILINE)
        if name not in defined
    ]

    assert list(promises) == [f"P{number}" for number in range(1, 19)]
    assert absent == []
    assert [name for name, text in promises.items() if "/test_" not in text] == ["P17"]
