"""MRI: from k-space, Cartesian or along a trajectory, to images.

door: `reconstruct`. adaptation: `adapt`, weights fitted to scans without a truth. methods: the
classical ones to compare with. series: `reconstruct_to`, slice by slice over workers; scan: what it
takes; front: what slices share; unit: one of them in a worker.
"""

from rimaging.datasets.retrospective import undersample
from rimaging.mosaic.run import Workers
from rimaging.mri.adaptation import adapt
from rimaging.mri.door import combine, reconstruct
from rimaging.mri.methods import LAMDA, MethodName, classical
from rimaging.mri.scan import Scan
from rimaging.mri.series import reconstruct_to

__all__ = [
    "LAMDA",
    "MethodName",
    "Scan",
    "Workers",
    "adapt",
    "classical",
    "combine",
    "reconstruct",
    "reconstruct_to",
    "undersample",
]
