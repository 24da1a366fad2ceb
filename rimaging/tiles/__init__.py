"""What a mosaic of the sky does to one block, and what it must know before.

processor   deconvolves a block: the task of the mosaic
sample      level, noise and step lengths of a sky, from a sample of it
inputs      maps of noise and of good pixels
width       how wide the halo must be
recipe      all of it, from what was asked
lazy        the same on a dask array
"""
