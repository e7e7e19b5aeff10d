"""Tests of ``distributed_config.formats``."""
