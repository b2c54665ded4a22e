"""promtool's word on the rules: they are sound, a quiet day is silent, and every fault is heard and forgotten."""

import shutil
import subprocess
from pathlib import Path

from data.settings import REPOSITORY

PROMETHEUS = REPOSITORY / "dashboards" / "prometheus"


def promtool(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(folder / "promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_prometheus_accepts_the_rules(prometheus_folder: Path) -> None:
    done = promtool(prometheus_folder, "check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_quiet_day_is_silent_and_every_fault_is_heard_and_forgotten(prometheus_folder: Path) -> None:
    done = promtool(prometheus_folder, "test", "rules", PROMETHEUS / "tests" / "alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_hears_nothing_fails_its_test(prometheus_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "p")
    file = tmp_path / "p" / "rules" / "model.yml"
    file.write_text(file.read_text().replace('detector="parity"} == 1', 'detector="parity"} == 2'))
    assert promtool(prometheus_folder, "test", "rules", tmp_path / "p" / "tests" / "alerts.yml").returncode != 0
