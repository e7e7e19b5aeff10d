"""``python -m distributed_config.client``: the commands, on an installation without the server."""

import sys

from distributed_config.client.cli.main import main

sys.exit(main())
