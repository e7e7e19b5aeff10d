"""The first set-up of a new database from a file."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.shells import (
    REFUSED,
    error_sentences,
)


def documents_of(server: Server) -> dict[str, Any]:
    """What a running server holds."""
    found: dict[str, Any] = server.api.http.get("/api/v1/export").json()
    return found


def test_a_new_database_begins_with_a_file_and_never_does_so_again(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text("web: {port: 1}\nteam/db:\n  host: ö\n")

    with Server(tmp_path / "instance", bootstrap=file, workers=1) as server:
        assert documents_of(server) == {"web": {"port": 1}, "team/db": {"host": "ö"}}
        changes = server.api.changes()
        assert {change["revision"] for change in changes} == {1}
        assert {change["service"] for change in changes} == {"web", "team/db"}
        for name in ("web", "team/db"):
            assert len(server.api.versions(name)) == 1
            server.api.enable(name, 0, False)
            assert server.api.delete(name).status_code < 300
        server.stop()
        file.write_text("web: {port: 2}\n")
        server.start()

        assert documents_of(server) == {}


def as_kubernetes_mounts(folder: Path, files: dict[str, str]) -> Path:
    """A folder of links into ..data, with other files that are no part of it."""
    real = folder / "..2026_11_21"
    real.mkdir(parents=True)
    (folder / "..data").symlink_to(real.name)
    for file, text in files.items():
        (real / file).write_text(text)
        (folder / file).symlink_to(f"..data/{file}")
    (folder / ".hidden.json").write_text("not JSON")
    return folder


def test_of_several_servers_that_start_at_once_one_loads_the_first_set_up(
    tmp_path: Path,
) -> None:
    files = {f"service-{number}.json": f'{{"n": {number}}}' for number in range(100)}
    files |= {"db.yml": "n: 2\n", "cache.toml": "n = 3\n"}
    folder = as_kubernetes_mounts(tmp_path / "first", files)
    (folder / "team").mkdir()
    (folder / "team" / "web.yaml").write_text("n: 4\n")
    servers = [Server(tmp_path / "instance", bootstrap=folder, workers=1) for _ in range(3)]
    assert servers[0].run("db", "upgrade").returncode == 0
    for number, server in enumerate(servers):
        server.log = tmp_path / f"{number}.log"

    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        list(pool.map(stack.enter_context, servers))

        documents = documents_of(servers[2])
        assert len(documents) == 103
        some = ("service-7", "db", "cache", "team/web")
        assert [documents[each]["n"] for each in some] == [7, 2, 3, 4]
        assert {change["revision"] for change in servers[0].api.changes()} == {1}
        began = [server.log.read_text().count("distconf: began with") for server in servers]
        assert sorted(began) == [0, 0, 1]


WRONG = {
    "broken.json": ('{"n": ', "Expecting value"),
    "twice.json": ('{"n": 1, "n": 2}', "given more than once"),
    "wrong name.json": ("{}", "a name is made of"),
    "list.yaml": ("- 1\n", "object"),
    "alias.yaml": ("a: &x 1\nb: *x\n", "Anchor"),
    "date.toml": ("d = 2026-11-21\n", "a date has no place"),
    "notes.txt": ("hello", "Its ending names no format"),
    "other.json": ('{"service": "another", "n": 1e999}', "1e999"),
    "another.json": ('{"service": "third"}', "It must be 'another'"),
    "good.toml": ("n = 2\n", "'good'"),
}
"""Files that none can begin with, and what there is to say of each."""


@pytest.fixture(scope="module")
def wrongly_begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path, str]:
    """A server that did not start, the folder it should have begun with, and what it said."""
    home = tmp_path_factory.mktemp("wrong")
    folder = home / "first"
    folder.mkdir()
    (folder / "good.json").write_text('{"n": 1}')
    for file, (text, _) in WRONG.items():
        (folder / file).write_text(text)
    server = Server(home / "instance", bootstrap=folder, workers=1)
    ran = server.run("serve", "--upgrade")
    assert ran.returncode == REFUSED
    return server, folder, error_sentences(ran)


def test_a_wrong_first_set_up_is_refused_with_all_its_problems(
    wrongly_begun: tuple[Server, Path, str],
) -> None:
    _, _, told = wrongly_begun

    assert [each for each, (_, words) in WRONG.items() if words not in told] == []


def test_each_problem_of_a_first_set_up_is_told_with_its_file(
    wrongly_begun: tuple[Server, Path, str],
) -> None:
    _, folder, told = wrongly_begun

    assert [each for each in WRONG if str(folder / each) not in told] == []


def test_a_wrong_first_set_up_loads_nothing_and_does_not_matter_to_a_database_in_use(
    wrongly_begun: tuple[Server, Path, str], tmp_path: Path
) -> None:
    server, _, _ = wrongly_begun
    (tmp_path / "mine.json").write_text('{"mine": {"n": 1}}')
    assert server.run("import", str(tmp_path / "mine.json")).returncode == 0

    with server:
        assert documents_of(server) == {"mine": {"n": 1}}
        assert {change["revision"] for change in server.api.changes()} == {1}


def test_a_first_set_up_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance", bootstrap=tmp_path / "absent.yaml", workers=1)

    ran = server.run("serve", "--upgrade")

    assert ran.returncode == REFUSED
    assert "absent.yaml" in error_sentences(ran)
