"""Opens the prediction log that these settings name: SQLite in LAB_HOME, Postgres, or the one in Valkey that processes share.

For the scoring service, and for whoever needs what a window of the log does not hold: its events in order, or a payment by its id.
"""

from data.errors import BadSetting
from data.prediction_store import PredictionStore
from data.settings import Settings


def open_log(settings: Settings, *, owned: bool = False) -> PredictionStore:
    """The log that answers are given from; `owned`: this process is the one that writes it. Raises LogUnavailable, BadSetting.

    The clients of Valkey and Postgres are a tenth of a second of import each, so only the one in use is imported.
    """
    if settings.store_url:
        from data.valkey_log import ValkeyLog

        return ValkeyLog(settings.store_url, settings.http_timeout_s)
    if settings.log_url:
        from data.postgres_log import PostgresLog

        if settings.log_write == "buffered":
            raise BadSetting(
                "LAB_LOG_WRITE=buffered is for the log in LAB_HOME; one in Postgres is written before each answer.",
                next_step="Unset it, or LAB_LOG_URL.",
                where="LAB_LOG_WRITE",
            )
        return PostgresLog(settings.log_url, owned=owned)
    from data.prediction_log import PredictionLog

    return PredictionLog(settings.home / "predictions.db", synchronous=settings.log_write == "durable" or not owned, owned=owned)
