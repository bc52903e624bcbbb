"""Flask, bare or with Flask-Session on SQLite (SQLAlchemy), as its documentation sets it up; gunicorn imports `app`.

Which of the two is said by the variable BENCH_DATA, the folder for the database: gunicorn passes no arguments on.
"""

import os
import platform
from importlib.metadata import version
from typing import Any

import flask

app = flask.Flask(__name__)
about = {name: version(name) for name in ("flask", "gunicorn")}
about |= {"python": platform.python_version(), "durability": "nothing is stored"}
session: Any = {"n": 1}

if data := os.environ.get("BENCH_DATA"):
    from flask_session import Session
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import text

    session = flask.session
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{data}/sessions.db"
    db = SQLAlchemy(app)
    app.config["SESSION_TYPE"] = "sqlalchemy"
    app.config["SESSION_SQLALCHEMY"] = db
    Session(app)
    about.update({name: version(name) for name in ("flask-session", "flask-sqlalchemy", "sqlalchemy")})
    with app.app_context():
        about["sqlite"] = db.session.scalar(text("SELECT sqlite_version()"))
        journal = db.session.scalar(text("PRAGMA journal_mode"))
        level = ["OFF", "NORMAL", "FULL", "EXTRA"][db.session.scalar(text("PRAGMA synchronous"))]
        about["durability"] = f"journal_mode={journal.upper()}, synchronous={level}"
        db.session.remove()


@app.get("/read")
def read() -> str:
    return str(session["n"])


@app.get("/write")
def write() -> str:
    session["n"] += 1
    return str(session["n"])


@app.get("/new")
def new() -> str:
    session["n"] = 1
    return "1"


@app.get("/about")
def tell() -> dict[str, str]:
    return about
