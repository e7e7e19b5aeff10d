"""The commands of ``distconf``, a module for each; see ``cli.py`` for the list."""
