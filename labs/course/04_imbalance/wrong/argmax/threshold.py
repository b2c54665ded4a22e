"""The likelier class, as predict() has it."""


def choose(is_fraud, probability, amount, costs, capacity):
    return 0.5


def outcome(is_fraud, alert, amount, costs):
    raise NotImplementedError
