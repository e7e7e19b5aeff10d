"""Profiles of servers, and the files that profiles and sidecar plans are written in."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed_config.client.cli.credentials import configuration_folder
from distributed_config.client.client import DEFAULT_URL
from distributed_config.client.http.token_file import read_token
from distributed_config.errors import Invalid, Problem


@dataclass(frozen=True)
class Profile:
    """A server, and the token to use there; "" for none."""

    url: str
    token: str = field(default="", repr=False)


def load_profile(name: str | None, environ: Mapping[str, str]) -> Profile:
    """Return the profile ``name`` or DISTCONF_PROFILE; without either, the environment's server.

    Profiles are in the file that DISTCONF_PROFILES names, or in
    ``~/.config/distconf/profiles.json`` (or .toml, .yaml): ``{"prod": {"url": …, "token_file":
    …}}``. Raises Invalid if there is no such profile, or something in it is wrong.
    """
    name = name or environ.get("DISTCONF_PROFILE")
    if not name:
        return Profile(environ.get("DISTCONF_URL") or DEFAULT_URL)
    file = profiles_file(environ)
    profiles = read_settings_file(file) if file is not None else {}
    entry = profiles.get(name) if isinstance(profiles, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        known = ", ".join(profiles) if isinstance(profiles, dict) and profiles else "none"
        message = (
            f"There is no such profile with a url in {file or 'any file'}; there are: {known}."
        )
        raise Invalid.from_problems([Problem("", message, "profile", name)])
    return Profile(entry["url"], _token_of(entry, name, file))


def _token_of(entry: Mapping[str, Any], name: str, file: Path | None) -> str:
    problems = [
        Problem("", f"The {key} of the profile {name!r} must be text.", "type", str(file))
        for key in ("token", "token_file")
        if not isinstance(entry.get(key, ""), str)
    ]
    if problems:
        raise Invalid.from_problems(problems)
    if entry.get("token_file"):
        return read_token(Path(entry["token_file"]).expanduser(), str(file))
    token: str = entry.get("token", "")
    return token


def profiles_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file of profiles; None if there is none yet."""
    if environ.get("DISTCONF_PROFILES"):
        return Path(environ["DISTCONF_PROFILES"])
    folder = configuration_folder(environ)
    files = [folder / f"profiles.{ending}" for ending in ("json", "toml", "yaml")]
    return next((file for file in files if file.exists()), None)


def read_settings_file(file: Path) -> Any:
    """Return the value in a file of JSON, TOML or YAML, chosen by the file's ending.

    TOML needs Python 3.11, and YAML needs ruamel.yaml. Raises Invalid where they are missing, or
    the file cannot be parsed; OSError where it cannot be read.
    """
    ending = file.suffix.lower()
    data = file.read_bytes()
    try:
        text = data.decode()
        # Loaded by name: the client runs where neither of them is installed.
        if ending == ".toml":
            return importlib.import_module("tomllib").loads(text)
        if ending in {".yaml", ".yml"}:
            return importlib.import_module("ruamel.yaml").YAML(typ="safe", pure=True).load(text)
        return json.loads(text)
    except UnicodeDecodeError:
        message = "It is not UTF-8 text. Save it as JSON, TOML or YAML."
        raise Invalid.from_problems([Problem("", message, "format", str(file))]) from None
    except ImportError as error:
        message = f"It cannot be read here ({error}). Write it as JSON, which is YAML as well."
        raise Invalid.from_problems([Problem("", message, "format", str(file))]) from None
    except Exception as error:  # of three parsers, each with errors of its own
        raise Invalid.from_problems([Problem("", f"{error}", "format", str(file))]) from None
