"""Grafana's documented dashboard JSON, as far as ours need it (schemaVersion 39): panels in rows of a 24-column grid.

Used by `dashboards/build.py` alone. Panels name the provisioned data source by its uid, so that they show something from the first start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS: Final = 24
HEIGHT: Final = 8


@dataclass(frozen=True)
class Panel:
    """One panel. `queries`: legend -> PromQL. `unit`: Grafana's name of it. `limits`: (value, colour) steps above the green base."""

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    limits: tuple[tuple[float, str], ...] = ()
    kind: str = "timeseries"  # or "stat", "table", "bargauge"
    width: int = 8
    least: float | None = 0

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        steps = [{"color": "green", "value": None}, *({"color": colour, "value": value} for value, colour in self.limits)]
        custom = {"fillOpacity": 10, "thresholdsStyle": {"mode": "line" if self.limits else "off"}} if self.kind == "timeseries" else {}
        defaults: dict[str, Any] = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}, "custom": custom}
        if self.least is not None:
            defaults["min"] = self.least
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": HEIGHT},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _options(self.kind),
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": SOURCE,
                    "expr": expr,
                    "legendFormat": legend,
                    "instant": self.kind != "timeseries",
                    "range": self.kind == "timeseries",
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for place, (legend, expr) in enumerate(self.queries.items())
            ],
        }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "table":
        return {"showHeader": True}
    return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto"}


def board(uid: str, title: str, description: str, panels: Sequence[Panel], *, span: str = "now-3h") -> dict[str, Any]:
    """A dashboard; panels fill rows from the left."""
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        placed.append(panel.to_json(number, x, y))
        x += panel.width
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["fraud"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": span, "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": [_alerts()]},
        "links": [{"title": "fraud", "type": "dashboards", "tags": ["fraud"], "asDropdown": False, "includeVars": False, "keepTime": True}],
        "panels": placed,
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts", "datasource": SOURCE, "enable": True, "iconColor": "red", "titleFormat": "{{alertname}}",
        "expr": 'ALERTS{alertstate="firing"}', "textFormat": "{{severity}}",
    }  # fmt: skip
