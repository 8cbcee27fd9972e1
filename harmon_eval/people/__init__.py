"""People's marks of a run's samples: asked for in a page on this machine, kept in the run folder,
compared with the task's own marks, and used to correct them."""
