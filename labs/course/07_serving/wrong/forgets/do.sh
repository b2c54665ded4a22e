# Keeps the last good model in memory alone.
python - <<'END'
from pathlib import Path

file = Path("models.py")
text = file.read_text()
old, new = '        self._restore()\n', ''
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
