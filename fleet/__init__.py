"""One edit over many photos: a workflow for every photo of a folder, on all cards of a machine or a cluster, with Ray Data.

`python -m fleet --help` tells how. Nothing of the nodes is imported here, and nothing of this is imported by them.
"""
