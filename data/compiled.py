"""The compiled functions of the product, as plain C functions: loaded in a tenth of a second, without their compiler.

numba compiles them once per machine (`data/kernel_build.py`, in a child process) to object code, which is kept beside
the source or in the user's cache; every process then links it with LLVM alone. A call passes addresses, so arrays
must be contiguous and stay alive meanwhile; `data/history.py`, `data/forest.py` and `data/id_filter.py` are the only callers.
"""

import ctypes
import hashlib
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from data.errors import LabError
from data.partial import partial_of

# name -> its parameters: p an address, P the address of addresses, N the address of numbers, n a number. All return a number.
ENTRY_POINTS: Final = {
    "advance": "PNppnpnp",
    "advance_one": "PNpnnppp",
    "card_slots": "PNppnpn",
    "terminal_slots": "PNppnpn",
    "index_names": "pnppn",
    "hash_names": "ppnp",
    "probe_filter": "pnppnpn",
    "margin": "PNpp",
    "margins": "PNpnnp",
}
_SOURCES: Final = (
    "compiled.py", "kernel_build.py", "kernel.py", "history_layout.py", "features.py", "forest_kernel.py", "forest_layout.py",
)  # fmt: skip
_HERE: Final = Path(__file__).parent


class NotCompiled(LabError):
    """The compiled functions could not be made."""

    code, exit_status, http_status = "not_compiled", 70, 503


@cache
def entry_point(name: str, *, holding_lock: bool = False) -> Any:
    """One compiled function, for ctypes. `holding_lock`: keep the interpreter's lock during the call.

    Giving the lock up for 3 µs costs more than the call when another thread has to hand it back. Raises NotCompiled.
    """
    prototype = ctypes.PYFUNCTYPE if holding_lock else ctypes.CFUNCTYPE
    parameters = [ctypes.c_int64 if kind == "n" else ctypes.c_void_p for kind in ENTRY_POINTS[name]]
    return prototype(ctypes.c_int64, *parameters)(_engine().get_function_address(name))


@cache
def _engine() -> Any:
    """The linked object code; it lives as long as the process."""
    import llvmlite.binding as llvm

    machine = host_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(_object_code()))
    engine.finalize_object()
    _give_back_pages()
    return engine


def host_machine() -> Any:
    """LLVM's description of this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="default", codemodel="jitdefault"
    )


def _object_code() -> bytes:
    """The object code for these sources, these libraries and this processor; compiled when nobody has yet."""
    name, folders = _places()
    for folder in folders:
        if (kept := folder / name).is_file():
            return kept.read_bytes()
    writable = [folder for folder in folders if _writable(folder)]
    if not writable:
        raise NotCompiled("The compiled features cannot be kept anywhere.", next_step=f"Make {folders[1]} writable.", where=name)
    kept = writable[0] / name
    partial = partial_of(kept)
    done = subprocess.run(
        [sys.executable, "-m", "data.kernel_build", str(partial)], cwd=_HERE.parent, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotCompiled(f"numba could not compile the features:\n{done.stderr[-2000:]}", next_step="Run `make install`.", where=name)
    partial.replace(kept)
    return kept.read_bytes()


def is_compiled() -> bool:
    """Whether the next process finds its object code ready."""
    name, folders = _places()
    return any((folder / name).is_file() for folder in folders)


def _places() -> tuple[str, list[Path]]:
    """What the object code is called, and the folders that may hold it."""
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fraud-lab"
    return f"kernel-{_identity()}.o", [_HERE / "__pycache__", cache_folder]


def _identity() -> str:
    """Of all that the object code depends on."""
    import llvmlite
    import llvmlite.binding as llvm

    whole = hashlib.sha256(f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    for source in _SOURCES:
        whole.update((_HERE / source).read_bytes())
    return whole.hexdigest()[:24]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _give_back_pages() -> None:
    """Let go of 50 MB that only linking needed: LLVM's heap, and its code, which comes back from the file when it is called."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    for begin, end in _untouched_pages("libllvmlite"):
        library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)
    if hasattr(library, "malloc_trim"):  # glibc's
        library.malloc_trim(0)


def _untouched_pages(library: str) -> Iterator[tuple[int, int]]:
    """The extents of a loaded library that are as in its file, without relocations written into them."""
    extent, mine = (0, 0), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if first.endswith(":"):
            if mine and first == "Private_Dirty:" and rest.split()[0] == "0":
                yield extent
            continue
        begin, _, end = first.partition("-")
        extent, mine = (int(begin, 16), int(end, 16)), library in line and rest[1] == "-"  # not writable
