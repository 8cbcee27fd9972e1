"""Compare two runs on the same samples, pair by pair: differences, verdicts and the gate.

``runs`` reads two run folders and says what cannot be compared, ``paired`` measures differences,
``verdict`` decides, ``changes`` lists the samples that changed, ``output`` presents the results to
people and to CI, and ``planning`` says in advance how many samples are needed.

This package is not called ``compare``, because the Python API has a function of that name, and
importing anything from a package ``compare`` would replace it.
"""
