"""MRI: from k-space, Cartesian or along a trajectory, to images.

door: `reconstruct`. methods: the classical ones to compare with.
"""

from rimaging.datasets.retrospective import undersample
from rimaging.mri.door import combine, reconstruct
from rimaging.mri.methods import MethodName, classical

__all__ = ["MethodName", "classical", "combine", "reconstruct", "undersample"]
