"""Put the migrations into the package: the one thing about it that pyproject.toml cannot say.

They stand at the top of the clone, where users of Flask-Migrate look for them. In the wheel they
are ``distributed_config.migrations``: a top-level ``migrations`` in ``site-packages`` would belong
to everybody.
"""

from setuptools import find_namespace_packages, setup

_MIGRATIONS = "distributed_config.migrations"

setup(
    packages=[
        *find_namespace_packages(include=["distributed_config*"]),
        _MIGRATIONS,
        f"{_MIGRATIONS}.versions",
    ],
    package_dir={_MIGRATIONS: "migrations"},
)
