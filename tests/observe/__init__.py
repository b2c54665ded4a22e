"""Rules and dashboards on a real Prometheus: `make observe`. Not part of `make test`."""
