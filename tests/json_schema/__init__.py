"""Tests of ``distributed_config.json_schema``."""
