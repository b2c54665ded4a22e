"""Writes `dashboards/grafana/*.json` from `dashboards/boards.py`: `python -m dashboards.build`. A test holds the two together."""

import json
from pathlib import Path

from dashboards.boards import boards

FOLDER = Path(__file__).parent / "grafana"


def texts() -> dict[Path, str]:
    """What each file must hold."""
    return {FOLDER / f"{uid}.json": json.dumps(made, indent=1) + "\n" for uid, made in boards().items()}


if __name__ == "__main__":
    for file, text in texts().items():
        file.write_text(text)
