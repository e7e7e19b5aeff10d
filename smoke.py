"""Smoke checks: ``python3 -m unittest smoke -v``, against DISTCONF_URL or a server of their own."""

from distributed_config.client.smoke import Smoke, setUpModule

__all__ = ["Smoke", "setUpModule"]
