"""Marking over HTTP: what one image is worth, for trainers that ask while they train.

A request becomes samples and image files, these wait in a line for their instruments, and a row of
marks becomes numbers: the same functions mark here that mark a benchmark.
"""
