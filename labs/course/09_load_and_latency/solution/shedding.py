"""Whom the front lets in. Little's law: whoever finds n inside waits n times what an answer needs, and leaves after 20."""


def admit(waiting: int) -> bool:
    return waiting < 12  # a burst of eight comes in; the last in line is answered with time to spare


def retry_after_s() -> int | None:
    return 1
