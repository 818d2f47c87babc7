"""The exceptions whose text is meant for the person at the terminal."""


class EightbellsError(Exception):
    """Something the user has to act on; its text is one clear sentence and is shown without a traceback."""


class WrongDatabase(EightbellsError):
    """The database belongs to something else; `what` says to what, `remedy` what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what, self.remedy = what, remedy


class UnsendableKey(EightbellsError):
    """A key or its secret has a character that none has; the text names the variable and never its value."""


class UnusableBatch(EightbellsError):
    """What came is no answer of candles: most of its rows are wrong in the same way. Nothing of it is stored."""
