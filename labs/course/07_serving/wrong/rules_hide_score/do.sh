# Where a rule acts, the model is not asked.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = 'rules.action, "rules", rules.reasons\n', 'rules.action, "rules", rules.reasons\n        score = None\n'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
