"""How a sidecar replaces a file: in one step, and only where it must."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.needs import need
from tests.support.proxies import Gate
from tests.support.server import Api, free_port
from tests.support.shells import (
    DONE,
    REFUSED,
    Shell,
    as_written,
    health_reports,
    health_status,
    holds,
    large,
    lines_of,
    reading,
    text_of,
)


def test_mode_and_owner_of_a_file_are_kept(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    file.write_text("old")
    file.chmod(0o604)
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(file, *owner)
    before = file.stat()

    assert shell.once({"service": name, "file": str(file)}).returncode == DONE

    after = file.stat()
    assert holds(file, {"n": 1})
    assert (after.st_uid, after.st_gid) == owner
    assert after.st_mode == before.st_mode
    assert after.st_ino != before.st_ino


def test_a_file_that_is_as_it_should_be_is_not_touched(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / f"app.{ending}" for ending in ("json", "yaml", "toml", "env")]
    told = shell.home / "told"
    reload = ["sh", "-c", f"echo x >>{told}"]
    targets = [{"service": name, "file": str(file), "reload": reload} for file in files]
    targets[3]["symlink"] = True
    assert shell.once(*targets).returncode == DONE
    before = [(each.stat().st_ino, each.stat().st_mtime_ns) for each in files]

    api.put(name, {"n": 2})
    api.http.post("/api/v1/rollback", params={"service": name, "to": 0})
    assert shell.once(*targets).returncode == DONE

    assert [(each.stat().st_ino, each.stat().st_mtime_ns) for each in files] == before
    assert len(lines_of(told)) == 4


def test_another_document_under_the_same_number_is_written(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1})
    file, filled = shell.home / "app.json", shell.home / "filled.json"
    targets = [{"service": name, "file": str(each)} for each in (file, filled)]
    targets[1] |= {"defaults": True}

    with shell.sidecar(*targets) as running:
        running.until(lambda: holds(file, {"a": 1}) and holds(filled, {"a": 1}))
        api.enable(name, 0, False)
        assert api.delete(name).status_code == 200
        assert api.put(name, {"a": 2}).json()["version"] == 0
        running.until(lambda: holds(file, {"a": 2}) and holds(filled, {"a": 2}))
        schema = {"properties": {"p": {"type": "integer", "default": 5}}}
        assert api.define(name, schema).status_code < 300
        assert api.put(name, {"a": 2}, definition=name).json()["version"] == 0

        running.until(lambda: holds(filled, {"a": 2, "p": 5}))
        assert holds(file, {"a": 2})


def test_what_the_server_could_not_render_is_not_lost(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"a": 1})
    shell.url = gate.url
    file, port = shell.home / "app.toml", free_port()
    plan = {"debounce": 1, "health": f"127.0.0.1:{port}"}

    with shell.sidecar({"service": name, "file": str(file)}, **plan) as running:
        running.until(lambda: text_of(file) == "a = 1\n" and health_status(port) == 200)
        api.put(name, {"a": 2})
        running.until(lambda: health_reports(port)[0]["current"] == 1)
        gate.shut()
        running.until(lambda: "Only the server writes toml" in health_reports(port)[0]["problem"])
        assert (health_status(port), health_reports(port)[0]["version"]) == (200, 0)
        assert text_of(file) == "a = 1\n"
        gate.open()

        running.until(lambda: text_of(file) == "a = 2\n")
        running.until(lambda: health_reports(port)[0]["version"] == 1)


@pytest.mark.parametrize("ending", ["yaml", "toml"])
def test_a_start_without_the_server_leaves_a_good_file_alone(
    shell: Shell, api: Api, name: str, gate: Gate, ending: str
) -> None:
    api.put(name, {"n": 1})
    shell.url = gate.url
    file, told, port = shell.home / f"app.{ending}", shell.home / "told", free_port()
    reload = ["sh", "-c", f"echo x >>{told}"]
    target = {"service": name, "file": str(file), "reload": reload}
    assert shell.once(target).returncode == DONE
    before = file.stat()
    gate.shut()

    with shell.sidecar(target, deadline=0.2, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200, 6)

    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(lines_of(told)) == 1


def test_a_storm_is_written_as_its_last_state_and_in_few_steps(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    files, told = [shell.home / each / "app.json" for each in ("a", "b")], shell.home / "told"
    reload = ["sh", "-c", f"echo {{file}} >>{told}"]
    targets = [
        {"service": name, "file": str(file), "reload": reload, "symlink": file == files[1]}
        for file in files
    ]

    def number_of_writes(file: Path) -> int:
        return lines_of(told).count(str(file))

    with shell.sidecar(*targets, debounce=0.3) as running:
        running.until(lambda: [number_of_writes(file) for file in files] == [1, 1])
        began = time.monotonic()
        for number in range(1, 101):
            api.put(name, large(number))
        took = time.monotonic() - began
        running.until(lambda: all(holds(file, large(100)) for file in files))

        for file in files:
            assert number_of_writes(file) <= min(3 + took / 0.3, 50)


def test_readers_see_whole_files_however_often_they_change(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    plain, linked = shell.home / "plain" / "app.json", shell.home / "linked" / "app.json"
    targets = [{"service": name, "file": str(each)} for each in (plain, linked)]
    targets[1]["symlink"] = True

    with shell.sidecar(*targets, debounce=0) as running:
        running.until(lambda: holds(plain, large(0)) and holds(linked, large(0)))
        with reading(plain) as wrong, reading(linked) as wrong_linked:
            for number in range(1, 31):
                api.put(name, large(number))
                running.until(lambda n=number: json.loads(plain.read_bytes())["n"] >= n)
            running.until(lambda: holds(linked, large(30)))
        assert (wrong, wrong_linked) == ([], [])


def test_links_of_one_folder_change_as_in_kubernetes(shell: Shell, api: Api, name: str) -> None:
    first, second = f"{name}/first", f"{name}/second"
    api.put(first, {"n": 1})
    api.put(second, {"n": 1})
    folder = shell.home / "config"
    one, two = folder / "one.json", folder / "two.json"
    targets = [{"service": first, "file": str(one)}, {"service": second, "file": str(two)}]
    targets = [{**each, "symlink": True} for each in targets]

    with shell.sidecar(*targets) as running:
        running.until(lambda: holds(one, {"n": 1}) and holds(two, {"n": 1}))
        assert one.readlink() == Path("..data/one.json")
        assert two.readlink() == Path("..data/two.json")
        before = (folder / "..data").readlink()
        for number in range(2, 12):
            api.put(first, {"n": number})
            api.put(second, {"n": number})
        running.until(lambda: holds(one, {"n": 11}) and holds(two, {"n": 11}))
        running.send(signal.SIGTERM)
        assert running.wait(3) == 0

    after = (folder / "..data").readlink()
    assert after != before
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        ["..data", str(after), "one.json", "two.json"]
    )


def test_a_file_that_was_none_becomes_a_link_and_what_hinders_that_leaves_nothing_behind(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    plain, hindered = shell.home / "plain" / "app.json", shell.home / "hindered" / "app.json"
    plain.parent.mkdir()
    plain.write_text(as_written({"n": 1}))
    (hindered.parent / "..data").mkdir(parents=True)
    targets = [{"service": name, "file": str(each), "symlink": True} for each in (plain, hindered)]

    assert [shell.once(each).returncode for each in targets] == [DONE, REFUSED]

    assert plain.readlink() == Path("..data/app.json")
    assert holds(plain, {"n": 1})
    assert [each.name for each in hindered.parent.iterdir()] == ["..data"]


def test_a_link_keeps_its_neighbours_mode_and_owner(shell: Shell, api: Api, name: str) -> None:
    need(os.geteuid() == 0, "root, to give files away")
    first, second = f"{name}/first", f"{name}/second"
    api.put(first, {"n": 1})
    api.put(second, {"n": 1})
    one, two = shell.home / "config" / "one.json", shell.home / "config" / "two.json"
    targets: list[dict[str, Any]] = [
        {"service": first, "file": str(one), "symlink": True},
        {"service": second, "file": str(two), "symlink": True, "mode": "640"},
    ]
    assert shell.once(*targets).returncode == DONE
    os.chown(two, 12345, 23456)

    api.put(first, {"n": 2})
    assert shell.once(*targets).returncode == DONE

    assert holds(one, {"n": 2})
    assert two.stat().st_mode & 0o777 == 0o640
    assert (two.stat().st_uid, two.stat().st_gid) == (12345, 23456)


def test_a_file_that_somebody_deletes_comes_back_or_is_missed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()

    with shell.sidecar({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        file.unlink()

        running.until(lambda: file.exists() or health_status(port) == 503, 4)


def test_what_somebody_writes_into_a_file_is_put_right_or_missed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, told, port = shell.home / "app.json", shell.home / "told", free_port()
    target = {"service": name, "file": str(file), "reload": ["sh", "-c", f"echo x >>{told}"]}

    with shell.sidecar(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health_status(port) == 200)
        file.write_text('{"n": 2}\n')
        assert health_status(port) == 503 or holds(file, {"n": 1})
        running.until(lambda: holds(file, {"n": 1}) and health_status(port) == 200, 4)
        running.until(lambda: len(lines_of(told)) == 2)
        file.touch()  # what is touched only stays
        touched = file.stat().st_ino
        time.sleep(2.2)

        assert (file.stat().st_ino, len(lines_of(told))) == (touched, 2)


def test_splay_spreads_the_writes_after_the_first(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / f"{number}.json" for number in range(8)]
    targets = [{"service": name, "file": str(file)} for file in files]

    with shell.sidecar(*targets, splay=2) as running:
        running.until(lambda: all(holds(file, {"n": 1}) for file in files))
        api.put(name, {"n": 2})
        running.until(lambda: all(holds(file, {"n": 2}) for file in files))

    times = sorted(file.stat().st_mtime for file in files)
    assert times[-1] - times[0] > 0.2
