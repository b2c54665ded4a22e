"""`lab doctor`: looks for what usually goes wrong on a machine, and names the command that mends it.

Each check is a function from settings to a finding and never raises; nothing is changed. Called by the `lab` command.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import psutil
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from data.errors import BadSetting
from data.settings import REPOSITORY, Settings
from labs.terminal import console, print_json
from services.processes import port_owner
from services.programs import programs
from services.supervisor import Supervisor

_DISK_GB = 2.0  # a demo leaves about half a GB; the rest is room for a second one and the databases
_MEMORY_GB = 2.5  # MLflow, Prefect and scoring take 0.9 GB together, training and a drift report about 1 GB more
# The library alone: importing the package would take scikit-learn and seconds along.
_LOAD_LIGHTGBM = """
import ctypes, importlib.metadata
files = importlib.metadata.files("lightgbm")
ctypes.CDLL(str(next(file.locate() for file in files if file.name.startswith("lib_lightgbm."))))
"""


@dataclass(frozen=True)
class Finding:
    """One check: what was seen and, when something is wrong, what mends it."""

    name: str
    ok: bool
    seen: str
    fix: str = ""


def check_python(_: Settings) -> Finding:
    """The interpreter is one that the packages are locked for."""
    ok = (3, 11) <= sys.version_info[:2] <= (3, 14)
    seen = f"{platform.python_version()} at {sys.executable}"
    return Finding("python", ok, seen, "Install a Python from 3.11 to 3.14, then: rm -rf .venv && make PYTHON=python3.12 install")


def check_packages(_: Settings) -> Finding:
    """What is installed is what the lock says."""
    wrong = sorted(out_of_step(REPOSITORY / "requirements.lock"))
    seen = f"{len(wrong)} differ from requirements.lock: {', '.join(wrong[:4])}" if wrong else "as in requirements.lock"
    return Finding("packages", not wrong, seen, "rm -rf .venv && make install")


def check_lightgbm(_: Settings) -> Finding:
    """LightGBM's library loads; tried in a child, because a broken one may end the process."""
    child = subprocess.run([sys.executable, "-c", _LOAD_LIGHTGBM], capture_output=True, text=True, check=False, timeout=120)
    if child.returncode == 0:
        return Finding("lightgbm", True, f"loads, version {importlib.metadata.version('lightgbm')}")
    last = (child.stderr.strip().splitlines() or [f"ended with status {child.returncode}"])[-1]
    fix = "brew install libomp" if sys.platform == "darwin" else "apt-get install libgomp1"
    return Finding("lightgbm", False, last, fix if "libgomp" in last or "libomp" in last else "rm -rf .venv && make install")


def check_home(settings: Settings) -> Finding:
    """The lab's folder can be written to."""
    existing = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    ok = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return Finding("home", ok, str(settings.home), "Point LAB_HOME at a folder of your own.")


def check_disk(settings: Settings) -> Finding:
    """There is room for a demo."""
    existing = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    return Finding("disk", free >= _DISK_GB, f"{free:.1f} GB free", f"Free {_DISK_GB:g} GB, or point LAB_HOME at another disk.")


def check_memory(_: Settings) -> Finding:
    """There is memory for the servers and a training beside them."""
    free = psutil.virtual_memory().available / 1e9
    return Finding("memory", free >= _MEMORY_GB, f"{free:.1f} GB available", f"Close other programs: {_MEMORY_GB:g} GB are needed.")


def check_ports(settings: Settings) -> Finding:
    """Each port of ours is free, or held by our own process."""
    ours = {status.name for status in Supervisor(settings).status() if status.state != "stopped"}
    for program in programs(settings).values():
        owner = None if program.name in ours else port_owner(settings.host, program.port)
        if owner is not None:
            seen = f"{program.port} ({program.title}) is taken by {owner}"
            return Finding("ports", False, seen, f"Stop it, or: export {program.port_setting}=<a free port>")
    return Finding("ports", True, ", ".join(f"{program.port} {program.title}" for program in programs(settings).values()))


def check_names(settings: Settings) -> Finding:
    """Whoever opens a page of ours by a name that people use is let in: servers refuse strange names, as DNS rebinding would bring them."""
    import httpx

    states = {status.name: status.state for status in Supervisor(settings).status()}
    local = settings.host in ("127.0.0.1", "localhost", "::1")
    names = ["localhost", settings.host if local else socket.gethostname()]
    with httpx.Client(trust_env=False, timeout=settings.http_timeout_s) as client:
        for program, path in ((programs(settings)["mlflow"], "/"), (programs(settings)["scoring"], "/live")):
            for name in names if states[program.name] == "healthy" else ():
                address = f"http://{settings.host}:{program.port}{path}"
                if client.get(address, headers={"host": f"{name}:{program.port}"}).status_code == httpx.codes.FORBIDDEN:
                    fix = f"Open http://localhost:{program.port}; from another machine: ssh -L {program.port}:127.0.0.1:{program.port} <it>"
                    return Finding("names", False, f"{program.title} refuses callers by the name {name}", fix)
    return Finding("names", True, f"pages open as {' and '.join(dict.fromkeys(names))}; a tunnel must keep that name and the port")


def check_proxy(settings: Settings) -> Finding:
    """Calls between our own processes go past a proxy: MLflow's client obeys the environment's."""
    proxy = getproxies().get("http") or getproxies().get("all")
    ok = proxy is None or bool(proxy_bypass(settings.host))
    return Finding("proxy", ok, "none in the way" if ok else "calls to our own servers would go to it", f"export NO_PROXY={settings.host}")


def check_first_start(_: Settings) -> Finding:
    """A first start is slow, once: nothing is wrong, and it is better known beforehand."""
    from data.compiled import is_compiled

    mlflow = find_spec("mlflow")
    parsed = mlflow is not None and mlflow.cached is not None and Path(mlflow.cached).exists()
    waits = [
        text for done, text in ((is_compiled(), "features are compiled (20 s)"), (parsed, "MLflow is parsed (up to 60 s)")) if not done
    ]
    return Finding("first run", True, f"the next start is slow, once: {', '.join(waits)}" if waits else "what is made once is made")


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    check_python,
    check_packages,
    check_lightgbm,
    check_home,
    check_disk,
    check_memory,
    check_ports,
    check_names,
    check_proxy,
    check_first_start,
)


def run_doctor(*, as_json: bool) -> int:
    """Run every check and list every setting; returns 0 when all is well, 1 otherwise."""
    try:
        settings = Settings.load()
    except BadSetting as error:
        console().print(f"[red]✗[/] settings  {error.message}\n            [bold]{error.next_step}[/]")
        return 1
    findings = [check(settings) for check in CHECKS]
    listed = setting_rows(settings)
    if as_json:
        print_json({"findings": [asdict(one) for one in findings], "settings": [dict(zip(_HEADINGS, row, strict=True)) for row in listed]})
    else:
        _print_findings(findings)
        _print_settings(listed)
    return 0 if all(one.ok for one in findings) else 1


_HEADINGS = ("setting", "value", "meaning")


def setting_rows(settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value in force, meaning) of every setting."""
    fields = type(settings).model_fields
    return [(f"LAB_{name.upper()}", _shown(str(getattr(settings, name))), field.description or "") for name, field in fields.items()]


def _shown(value: str) -> str:
    """A value without the password of an address."""
    return re.sub(r"(?<=://)[^@/]*@", "…@", value)


def _print_findings(findings: list[Finding]) -> None:
    rows = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(3):
        rows.add_column(overflow="fold")
    for one in findings:
        rows.add_row("[green]✓[/]" if one.ok else "[red]✗[/]", one.name, escape(one.seen))
        if not one.ok:
            rows.add_row("", "", f"[bold]{escape(one.fix)}[/]")
    console().print(rows)


def _print_settings(listed: list[tuple[str, str, str]]) -> None:
    out = console()
    out.print()
    for name, value, meaning in listed:
        out.print(f"{name}={value}", style="bold")
        out.print(Padding(meaning, (0, 0, 0, 4)))


def out_of_step(lock: Path) -> list[str]:
    """Names in the lock whose installed version it does not allow. An absent package is for another platform or extra."""
    allowed: dict[str, set[str]] = {}  # several versions of one name, where the lock differs by Python version
    for line in lock.read_text().splitlines():
        name, equals, rest = line.partition("==")
        if equals and not line.startswith((" ", "#")):
            allowed.setdefault(name.partition("[")[0], set()).add(rest.split()[0])
    installed = {found.name.lower().replace("_", "-"): found.version for found in importlib.metadata.distributions()}
    return [name for name, versions in allowed.items() if name in installed and installed[name] not in versions]
