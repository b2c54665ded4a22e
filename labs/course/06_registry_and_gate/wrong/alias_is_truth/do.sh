# Takes the alias for who serves.
. ./steps.sh
friday
