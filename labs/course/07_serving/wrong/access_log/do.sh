# Leaves uvicorn's access log on, which prints URLs.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = ', access_log=False', ''
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
