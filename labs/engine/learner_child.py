"""The process in which the learner's file runs: loads it, then calls the functions that it is asked to, one after the other.

Started by `labs/engine/learner.py` by its path, so that it imports nothing of ours. What the learner prints goes to standard error.
"""

import importlib.util
import os
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def _load(file: Path) -> Any:
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None  # the parent saw a Python file
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # dataclasses and pickle look a class's module up
    spec.loader.exec_module(module)
    return module


def _failure(error: BaseException, file: Path) -> dict[str, Any]:
    """The exception in a line, the line of the learner's file that it came from, and everything for those who ask."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    theirs = error.__traceback__
    while theirs is not None and theirs.tb_frame.f_code.co_filename != str(file):  # how we came there is of no use to them
        theirs = theirs.tb_next
    said = traceback.format_exception_only(error)[-1].strip()
    return {
        "kind": type(error).__name__,
        "said": said,
        "text": str(error),
        "line": line,
        "trace": "".join(traceback.format_exception(type(error), error, theirs)),
    }


def main(descriptor: int, file: Path) -> None:
    """Serve calls (name, arguments, keywords) until the other side hangs up; answers (True, value) or (False, what failed)."""
    os.dup2(2, 1)
    with Connection(descriptor) as parent:
        try:
            module = _load(file)
        except BaseException as error:
            parent.send((False, _failure(error, file)))
            return
        parent.send((True, sorted(name for name in vars(module) if callable(getattr(module, name)))))
        while True:
            try:
                name, arguments, keywords = parent.recv()
            except EOFError:
                return
            try:
                parent.send((True, getattr(module, name)(*arguments, **keywords)))
            except BaseException as error:
                parent.send((False, _failure(error, file)))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
