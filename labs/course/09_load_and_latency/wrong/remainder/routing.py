from zlib import crc32


def pick(card_id: str, alive: list[str]) -> str:
    return alive[crc32(card_id.encode()) % len(alive)]


def ask_another(attempt: int, failure: str) -> bool:
    return failure == "gone"
