"""A witness inside real processes: writes down what reached a model's reader, what was unpickled, which loaders were imported.

Python runs this file by itself in every process that has its folder on PYTHONPATH: the scoring process and the trials
it starts. It changes nothing; with `LAB_CHAOS_WITNESS` it appends one JSON line per event to that file.
"""

import hashlib
import json
import os
import sys

_LOADERS = {"joblib", "cloudpickle", "dill", "skops", "mlflow", "sklearn", "lightgbm", "shelve"}


def _write(event, **facts):
    line = json.dumps({"pid": os.getpid(), "event": event} | facts) + "\n"
    os.write(_sink, line.encode())


def _on_audit(event, arguments):
    if event == "data.forest.read":
        _write("parsed", sha256=hashlib.sha256(arguments[0]).hexdigest())
    elif event == "ctypes.dlopen" and "lightgbm" in str(arguments[0]):
        _write("loaded", library="lightgbm")
    elif event == "pickle.find_class":
        _write("unpickled", name=f"{arguments[0]}.{arguments[1]}", by=_caller())
    elif event == "import" and arguments[0].partition(".")[0] in _LOADERS:
        _write("imported", name=arguments[0])


def _caller():
    """The file whose code asked for the unpickling: the nearest frame outside the pickle module and this file."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.endswith(("pickle.py", "cloudpickle.py")):
        frame = frame.f_back
    return frame.f_code.co_filename


if path := os.environ.get("LAB_CHAOS_WITNESS"):
    _sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.addaudithook(_on_audit)
    _write("started", argv=sys.orig_argv[1:])
