# Calls a process without a model unhealthy, so that it is restarted for ever.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = '    return {"status": "ok"}', '    return await ready()'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
