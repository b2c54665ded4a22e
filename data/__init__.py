"""The shared words and the places where data rests; imports nothing else of ours.

Reading order: `schema` (what a transaction is), `features` (what a model sees), `history` (the state
behind the features), `costs` and `rules` (what a decision is), `bundle` and `registry` (where models rest),
`prediction_log` (where answers rest), `world/` (where transactions come from).
"""
