"""The HTTP API: thin views over the services. ``config.py`` is the one endpoint; the rest is v1."""
