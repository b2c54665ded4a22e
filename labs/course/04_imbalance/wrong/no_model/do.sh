# Nothing: policy.toml is as it was written.
