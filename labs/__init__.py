"""The `lab` command, the demo, the labs. May import everything; nothing imports it."""
