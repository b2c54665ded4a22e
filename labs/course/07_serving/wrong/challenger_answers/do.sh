# Answers with the newest model there is.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = 'judge(serving.champion, payment, row)', 'judge(serving.challenger or serving.champion, payment, row)'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
