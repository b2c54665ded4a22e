"""The lab's key: made at first use, kept, and refused where it is none."""

from pathlib import Path

import pytest

from data.errors import BadInput
from data.keys import lab_key


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = lab_key(tmp_path)
    assert len(key) > 40 and lab_key(tmp_path) == key
    assert (tmp_path / "lab.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "\n", "secret"])
def test_a_file_that_holds_none_opens_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "lab.key").write_text(content)
    with pytest.raises(BadInput, match="too short") as refusal:
        lab_key(tmp_path)
    assert "Delete lab.key" in refusal.value.next_step
