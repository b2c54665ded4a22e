"""Text inside GitHub's workflow commands, with what is reserved there escaped. For the formats of labs and exercises."""


def data(text: str) -> str:
    """The message: its three reserved characters as percent codes."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_value(text: str) -> str:
    """A property, where colon and comma are reserved too."""
    return data(text).replace(":", "%3A").replace(",", "%2C")
