"""What a release is made of: wheel, archive, bills of materials, notes and checksums.

``make release`` runs ``python -m release``. docs/contributing/release.rst has the steps.
"""
