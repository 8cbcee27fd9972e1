"""Readers of the text in images."""
