"""LPIPS (Zhang et al. 2018, arXiv 1801.03924): how far two images are to a network of vision."""
