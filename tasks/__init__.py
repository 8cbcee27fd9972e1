"""One benchmark per file or folder. Its name is the name of the task."""
