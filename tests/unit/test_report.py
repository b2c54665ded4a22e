"""The evidence report: one file that needs nothing else, tells all that was found, and can be read by everybody."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from labs.report import ink
from labs.report.facts import DemoFacts, Estimate
from labs.report.page import render, write_report
from tests.sample_facts import sample_facts

VOID = {"meta", "br", "path", "use", "line", "rect"}
CSS = (Path(ink.__file__).parent / "page.css").read_text()


class Reader(HTMLParser):
    """Collects what the tests ask of a page; fails on a tag that is closed out of order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.referred: set[str] = set(re.findall(r"url\(#([^)]+)\)", page))
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if str(found.get("xlink:href", "")).startswith("#"):
            self.referred.add(str(found["xlink:href"])[1:])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    return render(sample_facts())


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing(page: str, reader: Reader) -> None:
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert not any(name in {"src", "href"} or name.startswith("on") for _, attrs in reader.tags for name in attrs)
    assert not re.search(r"@import|url\((?!#)", page)


def test_the_page_is_smaller_than_a_megabyte(page: str) -> None:
    assert len(page.encode()) < 1_000_000


def test_every_tag_is_closed_in_order(reader: Reader) -> None:
    assert reader.open == []


def test_every_plot_has_a_text_for_those_who_do_not_see_it(reader: Reader) -> None:
    plots = [attrs for tag, attrs in reader.tags if tag == "svg"]
    assert len(plots) == 7
    assert all(attrs["role"] == "img" and len(str(attrs["aria-label"])) > 40 for attrs in plots)


def test_ids_are_unique_and_what_is_referred_to_is_there(reader: Reader) -> None:
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.referred
    assert reader.referred <= set(reader.ids)


def test_plots_take_the_colours_and_the_font_of_the_page(page: str) -> None:
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r'(id|xlink:href|clip-path)="[^"]*"', "", plots))
    assert "DejaVu" not in plots
    assert "var(--series-1)" in plots


def test_the_same_facts_give_the_same_page(page: str) -> None:
    assert render(sample_facts()) == page


def test_the_numbers_that_were_found_are_on_the_page(reader: Reader) -> None:
    facts = sample_facts()
    assert facts.training is not None and facts.latency is not None and facts.rollout is not None
    told = [facts.verdict, facts.rollout.steps[2].reason, facts.ledger[-1].text, facts.source.digest, facts.reproduce[1][0]]
    told += [f"{model.average_precision.value:.3f}" for model in (*facts.training.models, *facts.retrained)]
    told += [f"{facts.latency.p99_ms:.1f} ms", f"{facts.training.review_at:.3f}", *facts.training.gate]
    assert [text for text in told if text not in reader.text] == []


PARTS = {"training": "Which model", "latency": "Is it fast enough", "drift": "What changed", "rollout": "May the new model"}


def only(**parts: object) -> DemoFacts:
    """The sample without its plots, but for `parts`."""
    bare: dict[str, object] = dict.fromkeys(PARTS) | {"retrained": ()}
    return replace(sample_facts(), **(bare | parts))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_reached_is_told_and_the_others_are_left_out(part: str) -> None:
    text = Reader(render(only(**{part: getattr(sample_facts(), part)}))).text
    assert [name for name, title in PARTS.items() if title in text] == [part]
    assert "Do it again" in text


def test_a_demo_that_failed_at_once_still_gets_its_page() -> None:
    full = sample_facts()
    bare = DemoFacts(
        passed=False, verdict="The gate refused the model.", event_time=full.event_time, seconds=3, steps=full.steps[:1], source=full.source
    )
    text = Reader(render(bare)).text
    assert "did not pass" in text
    assert "The gate refused the model." in text


def test_text_from_outside_cannot_become_markup() -> None:
    hostile = replace(only(), verdict="<script>alert(1)</script>", environment=(("<b>", '"><img src=x>'),))
    hostile = replace(hostile, source=replace(hostile.source, name="<i>file</i>.csv"))
    assert not {"script", "img", "i", "b"} & {tag for tag, _ in Reader(render(hostile)).tags}


def test_a_number_that_could_not_be_computed_is_a_dash() -> None:
    unknown = replace(sample_facts().retrained[0], roc_auc=Estimate(float("nan"), None, None))
    text = Reader(render(only(retrained=(unknown,)))).text
    assert "nan" not in text.lower().split()
    assert "–" in text


def test_a_report_that_cannot_be_drawn_leaves_the_last_one_in_place(tmp_path: Path) -> None:
    target = tmp_path / "evidence" / "report.html"
    write_report(only(), target)
    before = target.read_text()
    drift = sample_facts().drift
    assert drift is not None
    broken = only(drift=replace(drift, days=("no day",)))
    with pytest.raises(ValueError, match="no day"):
        write_report(broken, target)
    assert target.read_text() == before
    assert [file.name for file in target.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_contrasts_with_what_it_lies_on(scheme: str) -> None:
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for the lines of a plot (1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    for ground in ("paper", "panel"):
        for text in ("ink", "muted", "good", "bad"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for line in ("series-1", "series-2", "series-3", "series-4"):
            assert _contrast(colours[line], colours[ground]) >= 3, (line, ground)


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
