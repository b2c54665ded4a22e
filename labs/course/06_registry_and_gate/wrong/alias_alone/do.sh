# Moves the alias in MLflow back and calls it a rollback.
. ./steps.sh
two_versions_answered
python -c 'from data.registry import Registry; from data.settings import Settings; Registry.of(Settings.load()).set_alias("champion", "1")'
printf 'unanswered = 0\nanswered_late = 0\nfollows_within_s = 1\n' > rollback.toml
