"""The command line on a store with sealed data and hashed ids: every command works by keys, and shows no id."""

from pathlib import Path

from .support import Place

OPTIONS = (
    "hashedIds = true",
    "encryption.keys = [{{ id = 'a', file = '{0}/key' }}]",
    "hashing.keys = [{{ id = 'a', file = '{0}/key' }}]",
)


def test_the_commands_work_on_sealed_rows_with_hashed_ids(tmp_path: Path) -> None:
    """They list, show, count and end sessions, and sweep; what they name is the handle of a key."""
    (tmp_path / "key").write_text("6f" * 32)
    (tmp_path / "key").chmod(0o600)
    place = Place("sqlite", tmp_path, *(line.format(tmp_path) for line in OPTIONS))
    for user in ("ada", "ada", "bob"):
        place.put(user, cart=["tea"])
    listed = place.run("list", "--user", "ada", "--json").json["sessions"]
    shown = place.run("show", listed[0]["handle"], "--data", "--json").json["sessions"][0]
    counted = place.run("stats", "--json").json
    ended = [place.run("revoke", listed[0]["handle"]).code, place.run("revoke", "--user", "ada").code]

    assert [row["user"] for row in listed] == ["ada", "ada"]
    assert shown["data"]["cart"] == ["tea"]
    assert counted["living"] == 3
    assert ended == [0, 0]
    assert len(place.living()) == 1
    assert place.run("sweep").code == 0
    assert place.run("index").code == 0
    assert "tea" not in (tmp_path / "sessions.db").read_bytes().decode("latin-1")
