# What a person types, for do.sh.

in_front() {
    lab rollback --to 2 --reason "better beyond noise, says gate.py"
}

# The tags as by_hand.py leaves them, version 2 in front, and a payment that it answers.
two_versions_answered() {
    in_front
    python - <<'END'
from by_hand import ALIAS_SET_TO, PAYMENT, TIDIED
from data.registry import Registry
from data.settings import Settings
from labs.service import call

settings = Settings.load()
with Registry.of(settings) as registry:
    registry.tag_version(ALIAS_SET_TO, TIDIED)
call(settings, "POST", "/v1/score", json=PAYMENT.model_dump(mode="json"))
END
}
