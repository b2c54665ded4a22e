# Checks after json.loads, and lets pydantic make of it what it can.
python - <<'END'
from pathlib import Path

file = Path("service.py")
text = file.read_text()
old, new = '        message = kind.model_validate_json(body, strict=True)\n        json.loads(body, object_pairs_hook=unrepeated)  # parsers keep one of two equal keys; which one, is theirs to choose\n    except ValidationError as error:\n', '        message = kind.model_validate(json.loads(body))\n    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):\n        raise HTTPException(422, "no JSON") from None\n    except ValidationError as error:\n'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
