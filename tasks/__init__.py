"""One benchmark a file; the file name is the name of the task."""
