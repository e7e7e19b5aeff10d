"""The service that one would write in an afternoon with Flask and Flask-SQLAlchemy.

It does as little as such a service can: documents are text, served as they are, and versions have
no author, no digest and no journal. Its writes are as durable as ours (WAL, synchronous=FULL), and
take the write lock first so that none fails.
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, UniqueConstraint, event, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

try:
    import pysqlite3.dbapi2 as sqlite  # the same SQLite as the product's
except ImportError:
    import sqlite3 as sqlite  # type: ignore[no-redef]  # no wheel for this platform


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Service(db.Model):  # type: ignore[name-defined]  # created at run time
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Version(db.Model):  # type: ignore[name-defined]  # created at run time
    __table_args__ = (UniqueConstraint("service_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("service.id"))
    number: Mapped[int]
    created_at: Mapped[datetime]
    document: Mapped[str]


def create_app() -> Flask:
    """Create the application on the database that BENCH_PLAIN_DATABASE names."""
    app = Flask("bench.plain_service", static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['BENCH_PLAIN_DATABASE']}"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "module": sqlite,
        "pool_size": 40,
        "connect_args": {"timeout": 5},
    }
    db.init_app(app)
    app.add_url_rule("/config", view_func=read, methods=["GET"])
    app.add_url_rule("/config", view_func=write, methods=["PUT", "PATCH"])
    with app.app_context():
        event.listen(db.engine, "connect", _set_up)
    return app


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def read() -> Response:
    """Respond with the document of the newest version."""
    newest = db.session.scalars(
        select(Version)
        .join(Service, Service.id == Version.service_id)
        .where(Service.name == request.args["service"])
        .order_by(Version.number.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        abort(404)
    return Response(newest.document, content_type="application/json")


def write() -> Response:
    """Append the body as the next version; PUT also creates the service."""
    name, document = request.args["service"], request.get_json()
    db.session.execute(text("BEGIN IMMEDIATE"))
    service = db.session.scalars(select(Service).where(Service.name == name)).one_or_none()
    if service is None:
        if request.method != "PUT":
            abort(404)
        service = Service(name=name)
        db.session.add(service)
        db.session.flush()
    last = db.session.scalar(
        select(func.max(Version.number)).where(Version.service_id == service.id)
    )
    version = Version(
        service_id=service.id,
        number=0 if last is None else last + 1,
        created_at=datetime.now(UTC),
        document=json.dumps(document),
    )
    db.session.add(version)
    db.session.commit()
    return jsonify(success=True)
