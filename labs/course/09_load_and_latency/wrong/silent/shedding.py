def admit(waiting: int) -> bool:
    return waiting < 12


def retry_after_s() -> int | None:
    return None
