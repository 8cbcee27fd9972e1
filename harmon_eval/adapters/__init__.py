"""Models under test: the file name is what ``--model`` calls it (see ``registry.model``)."""
