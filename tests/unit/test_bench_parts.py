"""A bench that was cut off goes on where it was, and never with figures of another question or other code."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import parts as parts_module
from tests.bench.parts import Parts


class Work:
    """Squares numbers, and notes what it was asked; it breaks off at the number `bad`."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad
        self.asked: list[int] = []

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        if self.bad in jobs:
            raise KeyboardInterrupt
        self.asked += jobs
        return [job**2 for job in jobs]


def measured(folder: Path, work: Work, *, question: object = "squares", resume: bool = True) -> list[int]:
    return Parts(folder, question, resume=resume).measured("squares", work, range(7), at_once=3)


def test_what_was_measured_before_a_run_was_cut_off_is_not_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Work(bad=4), Work()
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, first)
    assert measured(tmp_path, second) == [0, 1, 4, 9, 16, 25, 36]
    assert (first.asked, second.asked) == ([0, 1, 2], [3, 4, 5, 6])
    said = capsys.readouterr().err
    assert "squares-0: 3 taken from an earlier run" in said and "squares-6: 1 measured in 0 s" in said


def test_another_question_is_measured_anew(tmp_path: Path) -> None:
    measured(tmp_path, Work())
    again = Work()
    measured(tmp_path, again, question="other squares")
    assert again.asked == list(range(7))


def test_other_code_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(tmp_path, Work())
    again = Work()
    monkeypatch.setattr(parts_module, "code_digest", lambda: "changed")
    measured(tmp_path, again)
    assert again.asked == list(range(7))


def test_a_shorter_run_in_between_costs_a_longer_one_nothing(tmp_path: Path) -> None:
    measured(tmp_path, Work())
    measured(tmp_path, Work(), question="a few squares", resume=False)
    again = Work()
    assert measured(tmp_path, again) == [0, 1, 4, 9, 16, 25, 36] and again.asked == []


def test_a_run_that_does_not_resume_forgets_the_earlier_ones(tmp_path: Path) -> None:
    measured(tmp_path, Work())
    again, after = Work(), Work(bad=0)
    measured(tmp_path, again, resume=False)
    assert again.asked == list(range(7))
    assert measured(tmp_path, after) == [0, 1, 4, 9, 16, 25, 36] and after.asked == []
