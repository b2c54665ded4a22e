"""What a lab does by itself: it judges finished windows, looks at an open rollout, retrains when a verdict asks, and shows all that.

`duties.py` does it, `facts.py` keeps what came out, `gauges.py` shows it to Prometheus, `rounds.py` goes through the duties now and
then. `lab work` is the process; nothing here ever promotes a model.
"""
