"""A table of payments larger than memory, scored with one model. `scoring` is the whole in order."""
