"""One command of the command line a file; the file name is the command's name.

``add_arguments(parser)`` and ``main(arguments) -> exit code``. Importing a command imports nothing
heavy, so that ``--help`` answers at once. Its line of help stands in ``cli.COMMANDS``.
"""
