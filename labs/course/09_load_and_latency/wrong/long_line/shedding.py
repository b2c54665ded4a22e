def admit(waiting: int) -> bool:
    return waiting < 500


def retry_after_s() -> int | None:
    return 1
