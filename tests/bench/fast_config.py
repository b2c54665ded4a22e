"""LightGBM's own quickest way to score one row: its prepared single-row call, which its Python package does not offer."""

import ctypes

import lightgbm
import numpy as np
from numpy.typing import NDArray

_FLOAT64, _RAW_SCORE, _EVERY_ITERATION = 1, 1, -1  # LightGBM's c_api.h


class FastConfig:
    """`Booster.predict(raw_score=True)` of one row, types and parameters settled once; keeps the interpreter's lock, which is quicker."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        library = ctypes.PyDLL(lightgbm.basic._LIB._name)
        self._booster = booster  # which the prepared call belongs to
        self._row, self._result, self._length = np.empty(booster.num_feature()), np.empty(1), ctypes.c_int64()
        fast = ctypes.c_void_p()
        failed = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle, _RAW_SCORE, 0, _EVERY_ITERATION, _FLOAT64, ctypes.c_int32(len(self._row)), b"num_threads=1", ctypes.byref(fast)
        )
        assert not failed
        self._call = library.LGBM_BoosterPredictForMatSingleRowFast
        self._call.argtypes = [ctypes.c_void_p] * 4
        self._arguments = fast, self._row.ctypes.data, ctypes.addressof(self._length), self._result.ctypes.data
        self._free = library.LGBM_FastConfigFree
        self._free.argtypes = [ctypes.c_void_p]

    def margin(self, features: NDArray[np.float64]) -> float:
        self._row[:] = features
        assert not self._call(*self._arguments)
        return float(self._result[0])

    def __del__(self) -> None:
        self._free(self._arguments[0])
