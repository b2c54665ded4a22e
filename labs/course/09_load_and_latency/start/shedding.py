"""Whom the front lets in: rig/front.py asks before it looks at a request. Whoever is not let in gets a 503."""


def admit(waiting: int) -> bool:
    """Whether one more request may come in, while `waiting` of them are inside and not answered yet."""
    return True


def retry_after_s() -> int | None:
    """Seconds after which a refused caller may come back; None: the refusal does not say."""
    return None
