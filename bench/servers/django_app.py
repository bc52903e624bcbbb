"""Django, bare or with its default sessions (database, SQLite); gunicorn imports `app`.

The settings are those that `django-admin startproject` writes, cut down to what sessions need.
Which of the two is said by the variable BENCH_DATA, the folder for the database: gunicorn passes no arguments on.
"""

import os
import platform
from importlib.metadata import version
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

data = os.environ.get("BENCH_DATA")
about = {name: version(name) for name in ("django", "gunicorn")}
about |= {"python": platform.python_version(), "durability": "nothing is stored"}
everybodys: dict[str, Any] = {"n": 1}

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="a secret of the benchmark, longer than thirty-two bytes",
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions"] if data else [],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"] if data else [],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{data}/sessions.db"}} if data else {},
)


def session_of(request: HttpRequest) -> Any:
    return request.session if data else everybodys


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(session_of(request)["n"]))


def write(request: HttpRequest) -> HttpResponse:
    session = session_of(request)
    session["n"] += 1
    return HttpResponse(str(session["n"]))


def new(request: HttpRequest) -> HttpResponse:
    session_of(request)["n"] = 1
    return HttpResponse("1")


def tell(request: HttpRequest) -> HttpResponse:
    return JsonResponse(about)


urlpatterns = [path("read", read), path("write", write), path("new", new), path("about", tell)]
app = get_wsgi_application()

if data:
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        about["sqlite"] = cursor.execute("SELECT sqlite_version()").fetchone()[0]
        journal = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        level = ["OFF", "NORMAL", "FULL", "EXTRA"][cursor.execute("PRAGMA synchronous").fetchone()[0]]
        about["durability"] = f"journal_mode={journal.upper()}, synchronous={level}"
    connection.close()
