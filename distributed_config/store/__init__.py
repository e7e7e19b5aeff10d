"""How the database is opened, written and watched."""
