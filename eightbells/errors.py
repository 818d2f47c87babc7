"""The exceptions whose text is meant for the person at the terminal."""


class EightbellsError(Exception):
    """Something the user has to act on; its text is one clear sentence and is shown without a traceback."""


class UnsendableKey(EightbellsError):
    """A key or its secret has a character that none has; the text names the variable and never its value."""
