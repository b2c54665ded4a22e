# Asks the registry before every answer, to serve the latest.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = '    if (serving := courier.serving) is None:', '    courier._look()\n    if (serving := courier.serving) is None:'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
