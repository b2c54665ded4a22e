# Reads the whole body, then measures it.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = '    if int(request.headers.get("content-length", "0")) > MOST_BYTES:\n        raise too_large\n', ''
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
