"""The mini suite's data of one task a file: ``make(folder)`` writes it in the official formats.

The file name is the name of the task.
"""
