"""Two runs of the same samples against each other, pair by pair: differences, verdicts, gate.

``runs`` reads two run folders and says what cannot be compared, ``paired`` measures differences,
``verdict`` decides, ``changes`` lists the samples that changed, ``output`` shows it all to people
and to CI, ``planning`` says beforehand how many samples it takes.

Not called ``compare``: that is the function of the Python API, and a package of the same name would
take its place as soon as anything of it is imported.
"""
