"""Errors that a user reads.

UserError                   one clear line: what is wrong, where, and what to do
└── UsageError              the command line itself is wrong

Everything else that escapes is a defect of ours. Nothing that a packet holds ever raises out of the pipeline.
"""


class UserError(Exception):
    """Something the user can mend. The message is one line: what, where, and what to do. Exit status 1."""

    exit_status = 1


class UsageError(UserError):
    """The command line can not mean anything. Exit status 2."""

    exit_status = 2
