"""Every failure that a user can meet: one class each, with a stable code, exit status and HTTP status.

The same text appears in the API's error envelope, on the command line and in reports: what happened, what was
expected, and the next thing to do. Messages never repeat the caller's input beyond names of columns and files.
Exit statuses follow BSD sysexits.h where one fits.
"""

from typing import ClassVar, Self


class LabError(Exception):
    """A failure with no code of its own; the base of all that have one. `where` names the file, column, field or step concerned."""

    code: ClassVar[str] = "lab_error"
    exit_status: ClassVar[int] = 70  # EX_SOFTWARE
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, next_step: str, where: str | None = None) -> None:
        super().__init__(f"{message} {next_step}")
        self.message = message
        self.next_step = next_step
        self.where = where


class BadInput(LabError):
    """A request, file or option that does not fit the contract."""

    code, exit_status, http_status = "bad_input", 65, 422  # EX_DATAERR


class MissingFile(LabError):
    """A file that was named is not there or cannot be read."""

    code, exit_status, http_status = "missing_file", 66, 404  # EX_NOINPUT


class UnknownSource(LabError):
    """A data file whose columns match no adapter."""

    code, exit_status, http_status = "unknown_source", 65, 422


class BadBatch(LabError):
    """A batch of transactions or labels broke the schema and was quarantined."""

    code, exit_status, http_status = "bad_batch", 65, 422


class EmptyWindow(LabError):
    """Nothing to look at between two times."""

    code, exit_status, http_status = "empty_window", 65, 422


class NotEnoughLabels(LabError):
    """Too few matured labels, or too few frauds among them, to train or judge."""

    code, exit_status, http_status = "not_enough_labels", 65, 422


class TrainingRefused(LabError):
    """The rows at hand must not be learned from."""

    code, exit_status, http_status = "training_refused", 65, 409


class PoisonedRows(TrainingRefused):
    """Rows for training were spoilt by a fault of the pipeline."""

    code = "poisoned_rows"


class LabelsMissing(TrainingRefused):
    """Labels for training stopped, are late, or lack where payments were blocked."""

    code = "labels_missing"


class OneClass(NotEnoughLabels):
    """Rows for training or judging hold frauds only, or none."""

    code = "one_class"


class GateRefused(LabError):
    """A trained model was not good enough to be registered."""

    code, exit_status, http_status = "gate_refused", 1, 409


class StepFailed(LabError):
    """A step of the loop ran and did not do what it says."""

    code, exit_status, http_status = "step_failed", 1, 500


class NoModel(LabError):
    """No verified model is in the slot."""

    code, exit_status, http_status = "no_model", 69, 503  # EX_UNAVAILABLE


class PlanRefused(LabError):
    """A serving plan that nobody of this lab signed, or that was in force before the present one."""

    code, exit_status, http_status = "plan_refused", 65, 409


class BundleRefused(LabError):
    """A model bundle failed verification: wrong digest, signature, schema, or golden scores."""

    code, exit_status, http_status = "bundle_refused", 65, 409

    @classmethod
    def differs(cls, file: str, expected: str, found: str) -> Self:
        """One file of the bundle is not what it should be."""
        return cls(
            f"{file}: expected {expected}, found {found}.",
            next_step="The version that serves stays; register the model again from its run (`lab reproduce <run>` checks it).",
            where=file,
        )


class ModelFailed(LabError):
    """A loaded model could not score a row."""

    code, exit_status, http_status = "model_failed", 70, 503


class IdempotencyConflict(LabError):
    """The same transaction id came back with another body."""

    code, exit_status, http_status = "idempotency_conflict", 65, 422


class UnknownTransaction(LabError):
    """A transaction that was never scored."""

    code, exit_status, http_status = "unknown_transaction", 65, 404


class ModelGone(LabError):
    """The model version that decided is no longer on the service's machine."""

    code, exit_status, http_status = "model_gone", 66, 410


class ExplainerFailed(LabError):
    """The process that explains decisions died or took too long; scoring goes on."""

    code, exit_status, http_status = "explainer_failed", 69, 503


class LogUnavailable(LabError):
    """A prediction could not be made durable, so it was not answered."""

    code, exit_status, http_status = "log_unavailable", 74, 503  # EX_IOERR


class StoreAway(LogUnavailable):
    """The shared store does not answer. Payments are answered without it, and stored when it is back; all else has to wait."""

    code = "store_away"


class NotAllowed(LabError):
    """The caller lacks the key for this action."""

    code, exit_status, http_status = "not_allowed", 77, 403  # EX_NOPERM


class ServiceDown(LabError):
    """A process that this step needs does not answer."""

    code, exit_status, http_status = "service_down", 69, 503


class PortInUse(LabError):
    """Another program listens on a port that is ours by the settings."""

    code, exit_status, http_status = "port_in_use", 69, 503


class ProcessDied(LabError):
    """A supervised process ended or never became healthy."""

    code, exit_status, http_status = "process_died", 69, 503


class DiskFull(LabError):
    """A file could not be written for want of space."""

    code, exit_status, http_status = "disk_full", 73, 507  # EX_CANTCREAT


class RegistryUnavailable(LabError):
    """The model registry did not answer in time."""

    code, exit_status, http_status = "registry_unavailable", 69, 503


class UnknownRun(LabError):
    """No tracked run or registered version of that name."""

    code, exit_status, http_status = "unknown_run", 66, 404


class RolloutRefused(LabError):
    """A rollout or a rollback could not start: one is under way, or there is no version to turn to."""

    code, exit_status, http_status = "rollout_refused", 1, 409


class NoChallenger(RolloutRefused):
    """A rollout could not start: no version is challenger."""

    code = "no_challenger"


class RolloutOpen(RolloutRefused):
    """A rollout could not start: an earlier one was begun and has not ended."""

    code = "rollout_open"


class NoRollout(RolloutRefused):
    """There is no open rollout to go on with."""

    code = "no_rollout"


class NoTrafficLeft(LabError):
    """The payments that feed the lab have all been sent: there is nothing to judge a challenger by."""

    code, exit_status, http_status = "no_traffic_left", 65, 409


class RolloutInterrupted(LabError):
    """Something failed in the middle of a rollout, which stays open where it was."""

    code, exit_status, http_status = "rollout_interrupted", 75, 503  # EX_TEMPFAIL


class ClusterFailed(LabError):
    """The Dask workers that were to fit a model are not there, or lost the fit."""

    code, exit_status, http_status = "cluster_failed", 69, 503


class LedgerBroken(LabError):
    """The hash chain of the ledger does not hold: a line was changed, removed or put in."""

    code, exit_status, http_status = "ledger_broken", 65, 500


class MissingLibrary(LabError):
    """A system library that a package needs is absent."""

    code, exit_status, http_status = "missing_library", 69, 500


class BadSetting(LabError):
    """An environment variable or option has a value outside its range."""

    code, exit_status, http_status = "bad_setting", 78, 500  # EX_CONFIG
