"""Accounts: organisations, users, roles, tokens and log-ins."""
