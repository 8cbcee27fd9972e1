"""One run as one HTML file: scores, plots, every image and reply with its verdict, provenance.

::

    gather      run folders -> cards (a prompt or question with what came of it)
    scores      metrics.json -> a line a task, and the verdict on two runs
    plots       metrics, history -> bars and lines in per cent of the plot
    thumbnails  image files -> small copies inside the page
    page        all of it through the templates

The file needs no network and no other file. What models, prompts and data say is escaped by the
template engine, control characters are spelled out, and the page's own policy lets no script run
but the one it came with.
"""
