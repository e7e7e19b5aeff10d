"""The migrations: numbered, one after the other; they never import the models' tables."""
