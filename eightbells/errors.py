"""The one exception whose text is meant for the person at the terminal."""


class EightbellsError(Exception):
    """Something the user has to act on; its text is one clear sentence and is shown without a traceback."""
