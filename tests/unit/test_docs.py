"""The documents are true: what they name exists, what exists is named, and nothing of one machine is in them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from data.settings import REPOSITORY
from labs.cli import app
from tests.reference import REFERENCE, TABLES, labs, section, table, tables_in

DOCUMENTS = ("README.md", "REFERENCE.md", "ARCHITECTURE.md", "CHANGELOG.md")
OUR_PYTHON = [file for top in ("data", "pipelines", "services", "labs", "tests") for file in sorted((REPOSITORY / top).rglob("*.py"))]
# Documents of a service or a model card may name paths of other machines; ours may not name this one.
HERE = re.compile(rf"(?<![\w./-]){re.escape(str(REPOSITORY))}(?![\w-])")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    return [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def code_in(text: str) -> list[str]:
    """Command lines: each line of a fenced block, without its comment, and each inline span."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line.split("  #")[0].strip() for block in fenced for line in block.splitlines()] + spans


def verbs_in(lines: list[str]) -> set[str]:
    return {found[1] for line in lines if (found := re.match(r"make ([a-z][a-z-]*)", line))}


def unknown_words(line: str) -> list[str]:
    """The words of a `lab …` line that are no command or option of it; arguments are not looked at."""
    command: Any = get_command(app)
    known, wrong = {"-h", "--help"}, []
    for word in line.split()[1:]:
        known |= {name for option in command.params for name in option.opts}
        if word.startswith("-"):
            wrong += [] if word.split("=")[0] in known else [word]
        elif hasattr(command, "commands"):
            if word in command.commands:
                command = command.commands[word]
            elif word.isalpha():
                return [*wrong, word]
    return wrong


def lab_lines(lines: list[str]) -> list[str]:
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?lab [a-z-]", line)]


def makefile_verbs() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_in_a_document_exists_with_its_options(name: str) -> None:
    lines = code_in(read(name))
    assert verbs_in(lines) - makefile_verbs() == set()
    assert {line: unknown_words(line) for line in lab_lines(lines) if unknown_words(line)} == {}


def test_every_command_that_the_code_tells_people_to_run_exists_with_its_options() -> None:
    told = [
        line
        for file in OUR_PYTHON
        for line in re.findall(r"`((?:lab|make) [^`{}]+)`", file.read_text())
        if file.name != Path(__file__).name
    ]
    assert told
    assert verbs_in(told) - makefile_verbs() == set()
    assert {line: unknown_words(line) for line in lab_lines(told) if unknown_words(line)} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [("lab roll", ["roll"]), ("lab train --threshold-only", ["--threshold-only"]), ("lab drift check --json", []), ("lab up mlflow", [])],
)
def test_a_command_that_does_not_exist_would_be_found(line: str, wrong: list[str]) -> None:
    assert unknown_words(line) == wrong


def test_every_verb_has_a_line_of_help_is_phony_and_is_in_the_readme() -> None:
    text = read("Makefile")
    helped = set(re.findall(r"^([a-z-]+):.*## \S", text, re.M))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split())  # type: ignore[index]
    assert helped == makefile_verbs() == phony
    assert makefile_verbs() - {"help"} - verbs_in(code_in(read("README.md"))) == set()


def test_ci_calls_verbs_and_commands_that_exist() -> None:
    lines = [line.partition(" || ")[0].strip() for line in read(".ci/run").splitlines()]
    assert verbs_in(lines) >= {"test", "demo", "bench-quick"}
    assert verbs_in(lines) - makefile_verbs() == set()
    assert [line for line in lab_lines(lines) if unknown_words(line)] == []


@pytest.mark.parametrize("heading", TABLES)
def test_the_reference_names_what_the_code_has_and_nothing_else(heading: str) -> None:
    written = tables_in(section(REFERENCE.read_text(), heading))
    assert [text.strip() for text in written] == [table(TABLES[heading]())], "write it anew: python -m tests.reference"


def test_the_readme_lists_the_labs_that_there_are_and_nothing_else() -> None:
    written = tables_in(section(read("README.md"), "Labs"))
    assert [text.strip() for text in written] == [table(labs())], "write it anew: python -m tests.reference"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_between_documents_leads_somewhere(name: str) -> None:
    targets = [link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)]+)\)", read(name))]
    assert [path for path, _, _ in targets if path and not (REPOSITORY / path).exists()] == []
    for path, _, anchor in targets:
        headings = re.findall(r"^#+ (.*)$", read(path or name), re.M) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, f"{name} links to #{anchor}"


def test_every_path_that_the_architecture_names_exists() -> None:
    spans = [span for span in code_in(read("ARCHITECTURE.md")) if re.fullmatch(r"(data|pipelines|services|labs|tests)/[\w./]*", span)]
    assert spans
    assert [span for span in spans if not (REPOSITORY / span).exists() and not (REPOSITORY / f"{span}.py").exists()] == []


def test_the_lock_names_no_host() -> None:
    text = read("requirements.lock")
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "index-url" not in text


def test_no_tracked_file_names_a_folder_of_this_machine() -> None:
    found = [file.name for file in tracked() if HERE.search(file.read_text(errors="ignore"))]
    assert found == []
