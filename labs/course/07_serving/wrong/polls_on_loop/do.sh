# Looks at the registry in a task of the event loop.
python - <<'END'
from pathlib import Path

file = Path("models.py")
text = file.read_text()
old, new = 'import json\n', 'import asyncio\nimport json\n'
assert old in text
text = text.replace(old, new)
old, new = '        threading.Thread(target=self._follow, daemon=True).start()', '        self._task = asyncio.get_running_loop().create_task(self._follow())'
assert old in text
text = text.replace(old, new)
old, new = '    def _follow(self)', '    async def _follow(self)'
assert old in text
text = text.replace(old, new)
old, new = '            time.sleep(self._poll_s)', '            await asyncio.sleep(self._poll_s)'
assert old in text
text = text.replace(old, new)
file.write_text(text)
END
