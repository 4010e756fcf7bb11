"""What a user did wrong, in one line."""


class StudyError(ValueError):
    """A setting that cannot be run; its message names the value and the way out.

    `setting` is the dotted name of the offending setting ("templates.control"), so that the
    entry points can add the file or the override that it came from.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting
