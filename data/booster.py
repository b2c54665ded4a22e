"""LightGBM's C library through ctypes, without importing the `lightgbm` package.

For taking scores apart, which `data/forest.py` does not do; the package would bring 180 MB and a second of start-up. Results are
those of `Booster.predict` to the last bit. A booster belongs to **one thread**. LightGBM may end the whole process on a
damaged model text: only a child process may use this (`services/scoring/explain_child.py`), and `data/bundle.py` says
what must come before.
"""

import ctypes
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BundleRefused, MissingLibrary, ModelFailed

# Constants of LightGBM's c_api.h.
_FLOAT64 = 1
_ROW_MAJOR = 1
_RAW_SCORE = 1
_CONTRIBUTIONS = 3
_EVERY_ITERATION = -1
# One row is never worth splitting, and a second thread would fight the server for its core.
_PARAMETERS = b"num_threads=1"


@cache
def _library() -> ctypes.CDLL:
    """The shared library inside the installed lightgbm package. Raises MissingLibrary."""
    package = importlib.util.find_spec("lightgbm")
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    folder = Path(package.origin).parent if package and package.origin else Path()
    found = next((file for place in ("lib", "bin") if (file := folder / place / f"lib_lightgbm.{suffix}").is_file()), None)
    try:
        if found is None:
            raise OSError("lib_lightgbm is not in the lightgbm package")
        library = ctypes.CDLL(str(found))
    except OSError as error:
        raise MissingLibrary(
            f"LightGBM's library could not be loaded: {error}.",
            next_step="Install the OpenMP runtime (`apt-get install libgomp1`, macOS `brew install libomp`), then run `lab doctor`.",
            where="lightgbm",
        ) from error
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    library.LGBM_BoosterFree.argtypes = [ctypes.c_void_p]
    return library


def _last_error() -> str:
    text: bytes = _library().LGBM_GetLastError()
    return text.decode(errors="replace")


class FastBooster:
    """One LightGBM model, ready to score and to explain on one thread."""

    def __init__(self, model_file: Path) -> None:
        """Parse a model text. Raises BundleRefused when LightGBM says no (it may also kill the process: try it in a child)."""
        self._library = _library()
        self._booster = ctypes.c_void_p()
        trees = ctypes.c_int()
        text = model_file.read_bytes()
        if self._library.LGBM_BoosterLoadModelFromString(text, ctypes.byref(trees), ctypes.byref(self._booster)) != 0:
            raise BundleRefused(
                f"{model_file.name}: expected a model that LightGBM reads, found one that it refuses ({_last_error()}).",
                next_step="Register the model again from its run.",
                where=model_file.name,
            )
        columns = ctypes.c_int()
        self._call("LGBM_BoosterGetNumFeature", self._booster, ctypes.byref(columns))
        self.feature_count = columns.value
        self.tree_count = trees.value

    def predict_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw margins of shape (n,) for a matrix of shape (n, feature_count). Raises ValueError, ModelFailed."""
        return self._predict_matrix(matrix, _RAW_SCORE, 1)[:, 0]

    def contributions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each feature adds to the raw margin of each row of (n, feature_count): its SHAP value, by exact TreeSHAP along the
        trees' own paths (Lundberg et al. 2020, https://doi.org/10.1038/s42256-019-0138-9). Raises ValueError, ModelFailed.

        Shape (n, feature_count + 1): the last column is the expected margin, and each row sums to its margin.
        """
        return self._predict_matrix(matrix, _CONTRIBUTIONS, self.feature_count + 1)

    def _predict_matrix(self, matrix: NDArray[np.float64], kind: int, width: int) -> NDArray[np.float64]:
        """LightGBM's results of one kind, shape (n, width)."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.feature_count:
            raise ValueError(f"expected (n, {self.feature_count}) features, found {rows.shape}")
        results = np.empty((len(rows), width))
        length = ctypes.c_int64()
        self._call(
            "LGBM_BoosterPredictForMat",
            self._booster,
            ctypes.c_void_p(rows.ctypes.data),
            _FLOAT64,
            ctypes.c_int32(len(rows)),
            ctypes.c_int32(self.feature_count),
            _ROW_MAJOR,
            kind,
            0,
            _EVERY_ITERATION,
            _PARAMETERS,
            ctypes.byref(length),
            ctypes.c_void_p(results.ctypes.data),
        )
        return results

    def __del__(self) -> None:
        # Absent when the constructor failed before it got that far.
        if booster := getattr(self, "_booster", None):
            self._library.LGBM_BoosterFree(booster)

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            raise _failure()


def _failure() -> ModelFailed:
    return ModelFailed(
        f"LightGBM could not score: {_last_error()}.",
        next_step="Look at the version with `lab status` and roll it back.",
        where="model.lgb",
    )
