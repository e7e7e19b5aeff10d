"""The page on architecture and the picture in the README match the code."""

import ast
import importlib
import re
from pathlib import Path

from tests.support.source import FLOOR_OF, room_of, sources

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "distributed_config"
PAGE = ROOT / "docs" / "architecture.md"
NAMES = re.compile(r"`([\w/.-]+)`")


def names(text: str) -> set[str]:
    """Return what a page puts in code marks, outside its code blocks."""
    return set(NAMES.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)))


def exists(name: str) -> bool:
    """Return whether a path exists: in the package, or beside it."""
    return any((folder / name).exists() for folder in (PACKAGE, ROOT))


def resolve(name: str) -> object:
    """Return the object called ``room.module.name``. Raises AttributeError if there is none."""
    parts = name.split(".")
    found: object = importlib.import_module("distributed_config")
    for position, part in enumerate(parts):
        path = PACKAGE.joinpath(*parts[: position + 1])
        is_module = path.is_dir() or path.with_suffix(".py").exists()
        dotted = ".".join(["distributed_config", *parts[: position + 1]])
        found = importlib.import_module(dotted) if is_module else getattr(found, part)
    return found


def test_every_file_that_the_page_on_architecture_names_exists() -> None:
    paths = {name for name in names(PAGE.read_text()) if "/" in name or name.endswith(".py")}
    paths -= {"/config"}

    assert len(paths) > 30
    assert [path for path in sorted(paths) if not exists(path)] == []


def test_every_function_that_the_page_on_architecture_names_exists() -> None:
    dotted = {
        name
        for name in names(PAGE.read_text())
        if "." in name and "/" not in name and not name.endswith(".py")
    }

    assert len(dotted) > 5
    for name in dotted:
        resolve(name)


def test_every_value_that_the_page_on_architecture_lists_is_where_it_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+)` \|", PAGE.read_text(), re.MULTILINE)

    assert len(rows) > 5
    for name, path in rows:
        classes = ast.walk(ast.parse((PACKAGE / path).read_text()))
        assert name in {node.name for node in classes if isinstance(node, ast.ClassDef)}, name


def picture() -> str:
    """Return the picture of the rooms, as Mermaid text."""
    return (ROOT / "README.md").read_text().split("```mermaid\n")[1].split("```")[0]


def rooms() -> set[str]:
    """Return the folders of the package, without migrations, which nothing imports."""
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    return folders - {"migrations"}


def imported_rooms() -> set[tuple[str, str]]:
    """Return the pairs of rooms of which the first imports the second."""
    pairs = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                package, _, module = (node.module or "").partition(".")
                rooms_of_names = [module.split(".")[0]] if module else [n.name for n in node.names]
                if package == "distributed_config":
                    pairs |= {(room_of(path), room) for room in rooms_of_names}
    return pairs


def test_the_picture_in_the_readme_shows_every_room() -> None:
    drawn = set(re.findall(r'(\w+)\["<b>', picture()))

    assert rooms() <= drawn
    assert drawn <= FLOOR_OF.keys()


def test_every_arrow_in_the_picture_is_an_import_and_points_downwards() -> None:
    arrows = re.findall(r"^ *(\w+) --> (\w+)$", picture(), re.MULTILINE)

    assert len(arrows) > 10
    assert set(arrows) <= imported_rooms()
    assert all(FLOOR_OF[lower] < FLOOR_OF[upper] for upper, lower in arrows)


def test_the_list_of_rooms_in_the_readme_is_whole() -> None:
    text = (ROOT / "README.md").read_text().split("## How it is laid out")[1]
    rows = re.findall(r"^\| (`[\w/`, ]+) \|", text, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)/?`", row)}

    assert rooms() <= listed
    assert listed - {"migrations"} <= FLOOR_OF.keys()


def test_every_module_that_any_page_names_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    gone = [
        f"{page.name}: {name}"
        for page in pages
        for name in names(page.read_text())
        # Django's own: the page on Python says where its users load a configuration.
        if name.endswith(".py") and name != "settings.py" and not exists(name)
    ]
    assert gone == []
