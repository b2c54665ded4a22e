# The payment as a typed parameter: FastAPI answers for itself, and quotes what was sent.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = 'async def predict(request: Request):\n    said = answers([decode(Transaction, await body_of(request))], request.state.id)', 'async def predict(payment: Transaction, request: Request):\n    said = answers([payment], request.state.id)'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
