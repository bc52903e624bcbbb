"""The configurations of docs/deployment: the server takes them, and has nothing to say against them."""

from pathlib import Path

import pytest
from processes import ROOT, run

CONFIGS = sorted((ROOT / "docs" / "deployment").rglob("config.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_a_configuration_is_taken_without_a_warning(tmp_path: Path, path: Path) -> None:
    checked = run(tmp_path, path.read_text("utf-8"), "--check")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "__Host-sid" in checked.stdout


def test_both_differ_only_in_where_they_listen_and_what_they_store() -> None:
    """And in the form of the log."""
    one, other = ({line for line in path.read_text().splitlines() if not line.startswith("#")} for path in CONFIGS)

    names = {line.split(" = ")[0] for line in one ^ other}

    assert names == {"address", "store", "log", "metricsPort"}
