def admit(waiting: int) -> bool:
    return True


def retry_after_s() -> int | None:
    return 1
