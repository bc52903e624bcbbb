"""docs/coming-from/sqlalchemy.md, with SQLAlchemy and tornado-sqlalchemy."""

import subprocess
from pathlib import Path

from coming_from.blocks import FOLDER, source

from .served import PYTHON, ROOT, served

APP = """
from sqlalchemy import Column, Integer, String
from tornado.web import Application
from tornado_sqlalchemy import SQLAlchemy
import {page}

db = SQLAlchemy("sqlite:///shop.db")

class Item(db.Model):
    __tablename__ = "items"
    id = Column(Integer, primary_key=True)
    name = Column(String)

db.create_all()

class Items({page}.Page):
    def get(self):
        self.session.add(Item(name="milk"))
        count = self.session.query(Item).count()
        {visits}
        self.write({{"items": count, "visits": visits}})

make_app = lambda manager: Application([("/", Items)], db=db, sessions=manager)
"""

VISITS = 'self.visitor["visits"] = visits = self.visitor.get("visits", 0) + 1'


async def test_both_sides_write_to_the_database(tmp_path: Path) -> None:
    """And after the change the visitor has a session too; a second visitor has another."""
    with served(tmp_path / "before", APP.format(page="shop_before", visits="visits = 0"), "shop_before.py") as browser:
        old = [(await browser.fetch("/")).body for _ in range(2)]
    with served(tmp_path / "after", APP.format(page="shop_after", visits=VISITS), "shop_after.py") as browser:
        new = [(await browser.fetch("/")).body for _ in range(2)]
        browser.jar = type(browser.jar)(browser.manager.clock)
        new.append((await browser.fetch("/")).body)

    assert old == [b'{"items": 1, "visits": 0}', b'{"items": 2, "visits": 0}']
    assert new == [b'{"items": %d, "visits": %d}' % each for each in ((1, 1), (2, 2), (3, 1))]


def test_without_the_two_lines_the_error_names_both_mixins() -> None:
    """As the page quotes it."""
    without = "\n".join(line for line in source("shop_after.py").splitlines() if " = " not in line) + "\n    pass"

    done = subprocess.run(
        [PYTHON, "-c", without], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )

    said = done.stderr.splitlines()[-1].partition("Page: ")[2]
    assert said.startswith("SessionMixin.session hides tornado_sqlalchemy.SessionMixin.session: give one of the two")
    assert said in " ".join((FOLDER / "sqlalchemy.md").read_text("utf-8").split())
