"""What can go wrong on the way of a payment, each as a pure function: in its message, its arrival, its features, its score, its label.

Which rows a fault touches depends on the seed and the row's own ids and time alone, never on how rows were cut into batches
or days. `mechanisms` names them all; `data/scenarios` makes scenarios of them. `dose`, `features` and `scores` import no
pandas: the scoring service applies faults of features too.
"""
