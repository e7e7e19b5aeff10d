"""The minimal Flask application on an ASGI server, by a2wsgi, which is needed only here."""

from a2wsgi import WSGIMiddleware

from bench.minimal import app as wsgi

app = WSGIMiddleware(wsgi)
