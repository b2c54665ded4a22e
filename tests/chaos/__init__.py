"""The promises of the scoring service, counted: `make chaos` (`make chaos ARGS=--nightly` for the long counts).

Every test starts the real process, does it harm from outside, proves that the harm was done, and counts what its callers
and its prediction log saw. A file `test_07_...` holds promise 7; each ends in one row of the scoreboard. Two tests run at once,
but for those marked `alone`, which go first: their promises are about milliseconds.

    scoreboard.py   the rows, printed at the end and written to <LAB_HOME>/chaos/scoreboard.json
    service.py      one scoring process in a home of its own; start, kill -9, SIGTERM
    registry.py     MLflow's registry interface over a folder, in a process that may die or fall silent
    timing.py       how much slower something got, by rounds taken in turn
    load.py         clients over kept-alive connections, and the ledger of what was acknowledged
    stored.py       the prediction log read from outside, and what it must agree with
    syscalls.py     failing syncs, full disks and deaths at a chosen system call, by the kernel
    wraps.py        the few faults that have no system call: one table of functions of the product
"""
