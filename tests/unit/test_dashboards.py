"""Rules, runbook, dashboards and compose file say the same. What a real Prometheus makes of them: tests/observe."""

import json
import re
from typing import Any

import yaml

from dashboards.build import texts
from data.settings import REPOSITORY
from tests.reference import metrics

PROMETHEUS = REPOSITORY / "dashboards" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
NAME = re.compile(r"\b(?:fraud|process)_[a-z0-9_]+\b(?!\s*=)")
PLAIN = re.compile(r"_(?:bucket|sum|count)$")


def rules() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    return [panel for text in texts().values() for panel in json.loads(text)["panels"]]


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


def runbook_sections() -> dict[str, str]:
    parts = (REPOSITORY / "dashboards" / "RUNBOOK.md").read_text().split("\n## ")[1:]
    return {part.splitlines()[0]: part for part in parts}


def test_every_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        notes = alert["annotations"]
        assert notes["summary"] and notes["description"].endswith((".", "%.")), alert["alert"]
        assert notes["runbook_url"] == f"dashboards/RUNBOOK.md#{alert['alert'].lower()}"


def test_every_alert_has_its_section_of_the_runbook_and_the_reverse() -> None:
    sections = runbook_sections()
    assert [alert["alert"] for file in ("service", "payments", "model", "rollout") for alert in _alerts_of(file)] == list(sections)
    for text in sections.values():
        assert all(line in text for line in ("- Look: ", "- Do: ", "- Do not: "))


def _alerts_of(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules" / f"{file}.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_is_tested_to_fire_and_to_resolve() -> None:
    tested = [test["name"] for test in yaml.safe_load((PROMETHEUS / "tests" / "alerts.yml").read_text())["tests"]]
    assert tested == ["a quiet day", *(f"{alert['alert']} fires and resolves" for alert in _in_order())]


def _in_order() -> list[dict[str, Any]]:
    return [alert for file in ("service", "payments", "model", "rollout") for alert in _alerts_of(file)]


def test_rules_and_panels_name_metrics_that_there_are() -> None:
    known = {row[0].strip("`") for row in metrics()}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for expression in expressions():
        for name in NAME.findall(expression):
            assert name in known or PLAIN.sub("", name) in known, f"{name} in {expression}"
        for name in re.findall(r"\bfraud:[a-z0-9_:]+", expression):
            assert name in recorded, f"{name} in {expression}"


def test_the_committed_dashboards_are_what_the_generator_writes() -> None:
    for file, text in texts().items():
        assert file.read_text() == text, f"run python -m dashboards.build: {file.name} differs"
    assert {file.name for file in (REPOSITORY / "dashboards" / "grafana").glob("*.json")} == {file.name for file in texts()}


def test_every_panel_has_a_title_a_description_a_unit_and_a_place_of_its_own() -> None:
    for text in texts().values():
        board = json.loads(text)
        assert board["uid"] and board["title"] and board["description"]
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["title"] and panel["description"].endswith((".", "%.")) and panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "prometheus" and panel["targets"]
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & taken
            taken |= cells


def test_the_stack_scrapes_its_worker_and_grafana_finds_what_is_provisioned() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    jobs = {job["job_name"]: job for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]}
    assert jobs["worker"]["static_configs"][0]["targets"] == ["worker:8605"] and services["worker"]["command"] == ["work"]
    assert services["grafana"]["profiles"] == ["grafana"]
    folder = REPOSITORY / "dashboards" / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert source["uid"] == "prometheus" and source["url"] == "http://prometheus:9090"
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert yaml.safe_load((folder / "dashboards" / "fraud.yml").read_text())["providers"][0]["options"]["path"] in mounted
