"""``python -m distributed_config.client``: the commands that need nothing but Python."""

import sys

from distributed_config.client.cli.main import main

sys.exit(main())
