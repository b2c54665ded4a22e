def admit(waiting: int) -> bool:
    return waiting < 2


def retry_after_s() -> int | None:
    return 1
