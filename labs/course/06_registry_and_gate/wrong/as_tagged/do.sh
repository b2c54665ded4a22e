# Believes MLflow's tags.
. ./steps.sh
two_versions_answered
