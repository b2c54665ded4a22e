# Knows what happened, and leaves it so.
python by_hand.py
