#!/bin/sh
# Makes .venv from the hash-pinned lock. Called by the Makefile; run it again at any time, it continues where it was killed.
# Uses uv where there is one, else fetches uv with pip (six times faster than pip itself), else pip alone.
# PYTHON=<interpreter> chooses the Python; otherwise the first of the list below that is new enough.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv

say() { printf '%s\n' "$*"; }
stop() { printf '✗ %s\n  %s\n' "$1" "$2" >&2; exit 69; } # EX_UNAVAILABLE
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if fits "$candidate"; then command -v "$candidate"; return; fi
    done
    return 1
}

# install_packages <names>: as root with apt, install them; otherwise name them.
install_packages() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "Installing $*"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
            stop "apt-get could not install $*." "Install them by hand, then run the same command again."
    else
        stop "The system lacks $*." "Install them, on Debian or Ubuntu: sudo apt-get install $*"
    fi
}

python=$(find_python) || {
    [ -z "${PYTHON:-}" ] || stop "$PYTHON is not Python 3.11, 3.12 or 3.13." "Name another one: make install PYTHON=python3.12"
    install_packages python3 python3-venv
    python=$(find_python) || stop "No Python 3.11, 3.12 or 3.13 was found." "Install one, or name it: make install PYTHON=python3.12"
}

# LightGBM needs the OpenMP runtime, which slim systems leave out.
case $(uname -s) in
Linux) "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || install_packages libgomp1 ;;
Darwin) [ -e /opt/homebrew/opt/libomp ] || [ -e /usr/local/opt/libomp ] || stop "The system lacks libomp." "Install it: brew install libomp" ;;
esac

uv=$(command -v uv || true)
usable() { fits "$VENV/bin/python" && { [ -n "$uv" ] || "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }; }
usable || {
    rm -rf "$VENV"
    say "Making $VENV with $("$python" --version)"
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" "$VENV"
    else
        "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
        "$python" -m venv "$VENV"
    fi
}

if [ -z "$uv" ]; then
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.5,<1" && uv=$VENV/bin/uv ||
        say "uv could not be fetched; pip does it alone, which takes minutes."
fi

say "Installing the locked packages"
if [ -n "$uv" ]; then
    VIRTUAL_ENV=$PWD/$VENV "$uv" pip install --quiet --require-hashes -r requirements.lock
    VIRTUAL_ENV=$PWD/$VENV "$uv" pip install --quiet --no-deps -e .
else
    # --no-deps: pip resolves again otherwise and then refuses the hashed lock, which is complete anyway.
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -e .
fi
# Python compiles a library at its first import, or at every one where it may not write: 30 s of the first demo.
"$VENV/bin/python" -m compileall -q -j 0 -x '/tests?/|/plotly/(graph_objs|validators)/' "$VENV"/lib/python3*/site-packages || true
touch "$VENV/installed"
