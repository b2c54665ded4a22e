# Takes the run that the ledger names.
. ./steps.sh
two_versions_answered
