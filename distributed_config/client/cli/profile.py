"""The command profile: servers by names of one's own."""

import argparse
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed_config.client.cli.arguments import Action, Command
from distributed_config.client.cli.credentials import (
    configuration_folder,
    load_credentials,
    save_credentials,
)
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import print_done, print_facts, print_list
from distributed_config.client.cli.profiles import load_profile, profiles_file, read_settings_file
from distributed_config.client.files import write_atomically
from distributed_config.client.http.address import parse_address
from distributed_config.errors import Invalid, Problem

# --- to look at profiles


def _list(options: argparse.Namespace) -> int:
    profiles, used = _read(), _used()
    items = [
        {"name": name, "used": name == used, **_shown(entry)} for name, entry in profiles.items()
    ]
    print_list(options, items, _row, "There is no profile. Add one: `distconf profile add`.")
    return DONE


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    name = f"* {item['name']}" if item["used"] else f"  {item['name']}"
    return {"profile": name, "url": item["url"], "token": item["token"]}


def _shown(entry: Any) -> dict[str, str]:
    """Return what may be seen of a profile: never its token."""
    entry = entry if isinstance(entry, dict) else {}
    token = str(entry.get("token_file") or ("•••" if entry.get("token") else ""))
    return {"url": str(entry.get("url", "")), "token": token}


def _used() -> str:
    """Return the profile that commands use where none is named; "" if there is none."""
    return os.environ.get("DISTCONF_PROFILE") or load_credentials(os.environ).profile


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")


def _show(options: argparse.Namespace) -> int:
    load_profile(options.name, os.environ)  # complains about one that cannot be used
    shown = {"name": options.name, **_shown(_read()[options.name])}
    print_facts(options, shown, {key.capitalize(): value for key, value in shown.items()})
    return DONE


def _use(options: argparse.Namespace) -> int:
    profile = load_profile(options.name, os.environ)
    credentials = load_credentials(os.environ)
    save_credentials(os.environ, replace(credentials, profile=options.name, url=""))
    sentence = f"Commands use {options.name} from now on: {profile.url}."
    print_done(options, {"name": options.name, "url": profile.url}, sentence)
    return DONE


# --- to change profiles


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("server", metavar="URL", help="The address of the server.")
    parser.add_argument("--token-file", metavar="FILE", help="A file with a token for it.")


def _add(options: argparse.Namespace) -> int:
    parse_address(options.server)
    entry = {"url": options.server}
    if options.token_file:
        # Commands are run in any folder.
        entry["token_file"] = str(Path(options.token_file).expanduser().absolute())
    file = _write({**_read(), options.name: entry})
    print_done(options, {"name": options.name, **entry}, f"{options.name} is in {file}.")
    return DONE


def _remove(options: argparse.Namespace) -> int:
    profiles = _read()
    if options.name not in profiles:
        known = ", ".join(profiles) or "none"
        message = f"There is no such profile; there are: {known}."
        raise Invalid.from_problems([Problem("", message, "profile", options.name)])
    del profiles[options.name]
    _write(profiles)
    credentials = load_credentials(os.environ)
    if credentials.profile == options.name:
        save_credentials(os.environ, replace(credentials, profile=""))
    print_done(options, {"name": options.name}, f"The profile {options.name} is removed.")
    return DONE


# --- the file


def _read() -> dict[str, Any]:
    file = profiles_file(os.environ)
    try:
        profiles = read_settings_file(file) if file is not None else {}
    except FileNotFoundError:
        return {}
    if not isinstance(profiles, dict):
        message = 'It is no object of profiles, as {"prod": {"url": "https://…"}}.'
        raise Invalid.from_problems([Problem("", message, "type", str(file))])
    return profiles


def _write(profiles: dict[str, Any]) -> Path:
    """Write the file of profiles, and return it. Raises Invalid if it is not JSON."""
    file = profiles_file(os.environ) or configuration_folder(os.environ) / "profiles.json"
    if file.suffix.lower() != ".json":
        message = "Only JSON is written here: edit it by hand, or save it as profiles.json."
        raise Invalid.from_problems([Problem("", message, "format", str(file))])
    file.parent.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    text = json.dumps(profiles, indent=2, ensure_ascii=False) + "\n"
    write_atomically(file, text.encode(), 0o600)
    return file


COMMANDS = {
    "profile": Command(
        _list,
        actions={
            "list": Action("List the profiles; * marks the one in use.", _list),
            "show": Action("Show a profile, without its token.", _show, _add_name),
            "use": Action("Use a profile wherever none is named.", _use, _add_name),
            "add": Action("Add a profile, or replace it.", _add, _add_add),
            "remove": Action("Remove a profile.", _remove, _add_name),
        },
        asks_server=False,
    )
}
