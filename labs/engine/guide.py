"""A lab's README.md: its sections and steps, its command blocks, and the numbers it promises filled in.

`{name}` stands for a figure of lab.toml: its band, and the learner's own measurement once there is one. A block fenced as `sh`
is run by the proof of the contract, in order (`sh status=1`: it must end so); one fenced as `text` is shown only. Read by the
commands of a course and by the proof.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from labs.engine.course import Figure, Lab

SECTIONS: Final = ("The question", "The situation", "Steps", "What you should see", "The trap", "Say it")
SAY_IT_PARTS: Final = ("Rubric", "Red flags", "Follow-ups", "Your numbers")
# They act on the attempt that is being proved, or wait for a person; everything else a learner types is run.
_OF_THE_ENGINE: Final = re.compile(r"^lab (start|check|hint|watch|solution|reset|guide|list)\b")
_FENCED: Final = re.compile(r"^```(\w*)(?: status=(\d+))?[^\n]*\n(.*?)^```\s*$", re.M | re.S)
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Block:
    """One fenced block: its kind, its text, the line of the guide that it begins on, and the exit status that it must end with."""

    kind: str
    text: str
    line: int
    status: int = 0

    @property
    def script(self) -> str:
        """What of an `sh` block is run: all but calls of the engine itself."""
        return "\n".join(line for line in self.text.splitlines() if not _OF_THE_ENGINE.match(line.strip()))


class Guide:
    """One README.md, in Markdown."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.text = lab.guide.read_text(encoding="utf-8") if lab.guide.is_file() else ""

    @property
    def sections(self) -> dict[str, str]:
        """What stands under each `## heading`."""
        return _split(self.text, "## ")

    @property
    def steps(self) -> dict[str, str]:
        """What stands under each `### heading` of Steps."""
        return _split(self.sections.get("Steps", ""), "### ")

    @property
    def say_it_parts(self) -> list[str]:
        """The `### headings` of Say it."""
        return list(_split(self.sections.get("Say it", ""), "### "))

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(found[1], found[3], self.text.count("\n", 0, found.start()) + 1, int(found[2] or 0))
            for found in _FENCED.finditer(self.text)
        ]

    @property
    def promised(self) -> set[str]:
        """Names in braces outside code."""
        return set(_PLACEHOLDER.findall(_FENCED.sub("", self.text)))

    def opening(self, figures: Mapping[str, float]) -> str:
        """What `lab start` shows: the question, the situation, the first step."""
        sections, steps = self.sections, self.steps
        parts = [f"## {name}\n\n{sections[name]}" for name in SECTIONS[:2] if name in sections]
        parts += [f"### {title}\n\n{text}" for title, text in list(steps.items())[:1]]
        return self.filled("\n\n".join(parts), figures)

    def step(self, number: int, figures: Mapping[str, float]) -> str:
        """One step, counted from 1. Raises IndexError."""
        title, text = list(self.steps.items())[number - 1]
        return self.filled(f"### {title}\n\n{text}", figures)

    def say_it(self, figures: Mapping[str, float]) -> str:
        """The end of the guide, with the learner's own numbers."""
        return self.filled(f"## Say it\n\n{self.sections.get('Say it', '')}", figures)

    def whole(self, figures: Mapping[str, float]) -> str:
        return self.filled(self.text, figures)

    def filled(self, text: str, figures: Mapping[str, float]) -> str:
        """`text` with every placeholder of a figure filled in; braces in code stay."""
        pieces, end = [], 0
        for found in _FENCED.finditer(text):
            pieces += [_fill(text[end : found.start()], self.lab, figures), found[0]]
            end = found.end()
        return "".join([*pieces, _fill(text[end:], self.lab, figures)])


def told(figure: Figure, measured: float | None) -> str:
    """A figure in a sentence: what was measured here beside the band, or the band alone."""
    if measured is None:
        return f"{figure.band}"
    outside = "" if figure.holds(measured) else ", outside it"
    return f"**{figure.text(measured)}** (expected {figure.band}{outside})"


def _fill(text: str, lab: Lab, figures: Mapping[str, float]) -> str:
    def fill(found: re.Match[str]) -> str:
        figure = lab.figure(found[1])
        return found[0] if figure is None else told(figure, figures.get(figure.name))

    return _PLACEHOLDER.sub(fill, text)


def _split(text: str, mark: str) -> dict[str, str]:
    """Parts by heading, headings inside fenced blocks aside."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith(mark):
            current = found.setdefault(line.removeprefix(mark).strip(), [])
        elif current is not None:
            current.append(line)
    return {title: "\n".join(lines).strip() for title, lines in found.items()}
