"""Environment variables that every process of ours gets before its libraries load.

Called first by each composition root (the CLI, the scoring app, the test session) and handed to every child
process by the supervisor. The only place that switches telemetry off.
"""

import os

DEFAULTS = {
    # No library phones home. MLflow accepts only the word "true".
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Spinning OpenMP threads train 3 to 11 times slower than one thread on a busy two-core machine.
    "OMP_WAIT_POLICY": "passive",
    # A dead tracking server must fail in seconds; MLflow's own defaults block for four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # else a step that fails prints its stack before we say what to do; its state says why
    "GIT_PYTHON_REFRESH": "quiet",
}


def prepare_environment() -> None:
    """Set each variable that the user has not set; call before importing any heavy library."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def use_servers(mlflow_url: str, prefect_url: str, prefect_home: str) -> None:
    """Point the MLflow and Prefect clients of this process at the lab's own servers; call before importing either."""
    os.environ["MLFLOW_TRACKING_URI"] = mlflow_url
    os.environ["PREFECT_API_URL"] = f"{prefect_url}/api"
    os.environ["PREFECT_HOME"] = prefect_home
