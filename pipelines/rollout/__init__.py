"""Releasing a version: `judge` decides and is pure, `controller` acts, `actions` survive being killed, `rollback` is by hand."""
