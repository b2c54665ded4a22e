#!/bin/sh
# Makes .venv from the hash-pinned lock. Called by the Makefile; run it again at any time, it continues where it was killed.
# Uses uv where there is one, else fetches uv with pip (six times faster than pip itself), else pip alone.
# PYTHON=<interpreter> chooses the Python; otherwise the first of the list below that is new enough.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv

say() { printf '%s\n' "$*"; }
stop() { printf '✗ %s\n  %s\n' "$1" "$2" >&2; exit 69; } # EX_UNAVAILABLE
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if fits "$candidate"; then command -v "$candidate"; return; fi
    done
    return 1
}

# install_packages <names>: as root with apt, install them; otherwise say how, all of them at once.
install_packages() {
    apt="apt-get update && apt-get install --no-install-recommends $*"
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        stop "The system lacks $*." "As root, on Debian or Ubuntu: $apt"
    fi
    say "Installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # A list that cannot be refreshed may not be the one needed, so the install decides; it waits for another apt to end.
    told=$(apt-get update -qq 2>&1 || true; apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" 2>&1) || {
        printf '%s\n' "$told" >&2
        stop "apt-get could not install $*." "Mend what it says above, then: $apt"
    }
}

unfit() {
    stop "$1 is $("$1" --version 2>&1 | head -n 1); Python 3.11 to 3.14 is needed." "Install one, and name it: make install PYTHON=python3.12"
}

python=$(find_python) || {
    for name in ${PYTHON:-python3}; do ! command -v "$name" >/dev/null || unfit "$name"; done
    [ -z "${PYTHON:-}" ] || stop "There is no $PYTHON." "Name a Python 3.11 to 3.14: make install PYTHON=python3.12"
    install_packages python3 python3-venv libgomp1
    python=$(find_python) || unfit python3
}

uv=$(command -v uv || true)
usable() { fits "$VENV/bin/python" && { [ -n "$uv" ] || "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }; }

lacking=
case $(uname -s) in # LightGBM needs the OpenMP runtime, which slim systems leave out
Linux) "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || lacking=libgomp1 ;;
Darwin) [ -e /opt/homebrew/opt/libomp ] || [ -e /usr/local/opt/libomp ] || stop "The system lacks libomp." "Install it: brew install libomp" ;;
esac
# Debian keeps what fills a new environment in a package of its own, one for each Python.
usable || [ -n "$uv" ] || "$python" -c 'import ensurepip' 2>/dev/null ||
    lacking="$lacking $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
# shellcheck disable=SC2086 # two names are two words
[ -z "$lacking" ] || install_packages $lacking

usable || {
    rm -rf "$VENV"
    say "Making $VENV with $("$python" --version)"
    if [ -n "$uv" ]; then "$uv" venv --quiet --python "$python" "$VENV"; else "$python" -m venv "$VENV"; fi
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
"$VENV/bin/python" -W ignore -m compileall -q -j 0 -x '/tests?/|/plotly/(graph_objs|validators)/' "$VENV"/lib/python3*/site-packages || true
"$VENV/bin/python" -c 'from data.compiled import entry_point; entry_point("advance")' # ten seconds that the first demo need not wait
touch "$VENV/installed"
