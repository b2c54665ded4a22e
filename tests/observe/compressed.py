"""The stack's own Prometheus configuration and rules for a lab on loopback, where an hour is a minute. The one place that changes them."""

import re
from pathlib import Path
from typing import Any

import yaml

from data.settings import REPOSITORY, Settings

FACTOR = 60  # an hour of rules is a minute here
LEAST_S = 10  # of a range: ten scrapes
LEAST_FOR_S = 10  # Prometheus waits five seconds before its first scrapes, and a busy machine misses one or two
STACK = REPOSITORY / "dashboards" / "prometheus"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def write_config(folder: Path, settings: Settings, own_port: int) -> Path:
    """Rules and prometheus.yml in `folder`; returns the latter. Jobs without a process here are left out: archive and balancer."""
    (folder / "rules").mkdir(parents=True)
    for file in (STACK / "rules").glob("*.yml"):
        (folder / "rules" / file.name).write_text(compress(file.read_text()))
    config: dict[str, Any] = yaml.safe_load((STACK / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    ports = {"scoring": settings.scoring_port, "worker": settings.work_port, "prometheus": own_port}
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in ports
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


def compress(rules: str) -> str:
    """Rules with shorter ranges and shorter `for:`; nothing else differs."""
    rules = re.sub(r"\[(\d+)([smh])\]", lambda m: f"[{max(LEAST_S, int(m[1]) * _SECONDS[m[2]] // FACTOR)}s]", rules)
    return re.sub(r"\bfor: (\d+)([smh])", lambda m: f"for: {max(LEAST_FOR_S, int(m[1]) * _SECONDS[m[2]] // FACTOR)}s", rules)
