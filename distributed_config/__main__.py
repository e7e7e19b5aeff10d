"""``python -m distributed_config`` is ``distconf``."""

from distributed_config.cli import main

main()
