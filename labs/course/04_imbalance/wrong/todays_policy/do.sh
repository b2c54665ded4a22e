# Keeps the threshold that the champion was released with.
python write_policy.py --today
