"""How different the images are that a model draws for one prompt."""
