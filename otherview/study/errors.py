"""Errors that a user can mend; each message is one line."""


class UserError(ValueError):
    """A mistake or a state that the user can mend, with the way out; commands print it and end."""


class StudyError(UserError):
    """A setting that cannot be run; the message names the value and the way out.

    `setting` is the dotted name of the offending setting ("templates.control"): the entry points
    add the file or the override that it came from.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting
