# As `lab score-batch week.parquet scored --history …` does; without its Prefect, for speed.
python - <<'END'
from pathlib import Path

from data.settings import Settings
from rig import week

settings = Settings.load()
week.write(settings, Path())
week.score(settings, Path("week.parquet"), Path("scored"), history=week.beginning(settings), labels=None)
END
