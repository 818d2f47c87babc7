"""What is shared by the tests of the control room."""

from tests.control_room.examined import use

__all__ = ["use"]
