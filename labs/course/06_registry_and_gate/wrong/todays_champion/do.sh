# Asks who is champion today.
. ./steps.sh
two_versions_answered
