"""The parts of the documentation that are generated from the code when the book is built.

``source`` reads the code without importing Salt. ``pages`` makes reStructuredText of it.
``extension`` gives both to Sphinx.
"""
