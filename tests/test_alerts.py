"""docs/deployment/alerts.yml and docs/monitoring.md: what Prometheus says of them, and that they name what there is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from test_docs import fenced, table

from sessions.observe import PrometheusObserver

ROOT = Path(__file__).parent.parent
RULES = ROOT / "docs" / "deployment" / "alerts.yml"
PAGE = (ROOT / "docs" / "monitoring.md").read_text("utf-8")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing (apt-get install prometheus)"
)


def promtool(*arguments: object, folder: Path) -> str:
    """What promtool says; it has to be content."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def families() -> set[str]:
    """The metrics, by the names that the page has."""
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    return {each.name + ("_total" if each.type == "counter" else "") for each in registry.collect()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules and the configuration that the page shows."""
    shutil.copy(RULES, tmp_path / "alerts.yml")
    (config,) = fenced(PAGE, "yaml")
    (tmp_path / "prometheus.yml").write_text(config)
    return tmp_path


@needs_promtool
def test_promtool_takes_the_rules_and_the_configuration(folder: Path) -> None:
    """As they are in the page and beside it."""
    said = promtool("check", "config", "prometheus.yml", folder=folder)

    assert f"SUCCESS: {RULES.read_text('utf-8').count('- alert: ')} rules found" in said


@needs_promtool
def test_each_alert_fires_when_it_should_and_is_silent_else(folder: Path) -> None:
    """Promtool plays the series of tests/alerts_test.yml."""
    shutil.copy(ROOT / "tests" / "alerts_test.yml", folder)

    said = promtool("test", "rules", "alerts_test.yml", folder=folder)

    assert "SUCCESS" in said


@needs_promtool
def test_prometheus_reads_each_query_of_the_page(folder: Path) -> None:
    """As the expression of a rule."""
    (block,) = fenced(PAGE, "promql")
    queries = [line for line in block.splitlines() if not line.startswith("#")]
    rules = [f"      - {{record: 'q:{number}', expr: '{query}'}}" for number, query in enumerate(queries)]
    (folder / "queries.yml").write_text("\n".join(["groups:", "  - name: q", "    rules:", *rules]))

    said = promtool("check", "rules", "queries.yml", folder=folder)

    assert f"SUCCESS: {len(queries)} rules found" in said


def test_each_metric_has_its_row() -> None:
    """And no other; what the rules and the queries ask for is there."""
    rows = {row[0].strip("`") for row in table(PAGE, "metric")}

    asked = set(re.findall(r"\bsessions_\w+", RULES.read_text("utf-8") + "".join(fenced(PAGE, "promql"))))

    assert rows == families()
    assert {re.sub(r"_(count|sum|bucket)$", "", each) for each in asked} <= families()


def test_each_alert_has_its_row_and_its_trial() -> None:
    """It fires in one of them."""
    alerts = re.findall(r"^      - alert: (\w+)$", RULES.read_text("utf-8"), re.MULTILINE)
    trials = (ROOT / "tests" / "alerts_test.yml").read_text("utf-8")

    fired = re.findall(r"alertname: (\w+)\n        exp_alerts:\n          - exp_labels", trials)

    assert [row[0].strip("`") for row in table(PAGE, "alert")] == alerts
    assert sorted(fired) == sorted(alerts)


def test_the_metrics_of_opentelemetry_are_named() -> None:
    """All of them, as the observer makes them."""
    source = (ROOT / "sessions" / "observe" / "opentelemetry.py").read_text("utf-8")

    made = re.findall(r'"(sessions\.[a-z_.]+)"', source)

    assert [name for name in made if f"`{name}`" not in PAGE and f"`.{name.rpartition('.')[2]}`" not in PAGE] == []


@pytest.mark.parametrize("number", range(2))
def test_the_examples_run(number: int, tmp_path: Path) -> None:
    """And print what they say that they print."""
    example = fenced(PAGE, "python")[number]
    (tmp_path / "example.py").write_text(example)

    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == re.findall(r"print\(.*\)  # (.*)$", example, re.MULTILINE)
