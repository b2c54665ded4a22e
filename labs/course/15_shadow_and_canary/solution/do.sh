# Writes release.toml from the ledger; a person reads it off `lab rollout story`.
python - <<'END'
import json
import re
from datetime import datetime

from data.ledger import Ledger
from data.settings import Settings

rollouts = json.load(open("releases.json"))["rollouts"]
entries = Ledger(Settings.load().home / "ledger.jsonl").entries()
mine = {letter: [one for one in entries if one.facts.get("rollout_id") == name] for letter, name in rollouts.items()}


def verdicts(letter):
    return {one.facts["step"]: one for one in mine[letter] if one.kind == "judgement"}  # the last of each step


with open("release.toml", "w") as file:
    for letter in "BCD":
        exposed = sum(one.facts["payments"] for one in verdicts(letter).values() if one.facts["share"] > 0)
        file.write(f"{letter}_exposed = {exposed}\n")
    file.write(f"C_failed = {re.search(r'on ([0-9]+) cards', ' '.join(mine['C'][-1].facts['reasons']))[1]}\n")
    times = [datetime.fromisoformat(one.at) for one in (mine["E"][0], *verdicts("E").values())]
    file.write(f"E_days = {(times[-1] - times[0]).days}\n")
    steps = dict(zip([b - a for a, b in zip(times, times[1:])], verdicts("E")))
    file.write(f'E_waited = "{steps[max(steps)]}"\n')
END
