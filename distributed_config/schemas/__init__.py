"""Requests and responses as marshmallow schemas, which load the former and render the latter."""
