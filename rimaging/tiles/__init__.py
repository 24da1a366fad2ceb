"""What a mosaic of the sky does to one block, and what it must know before.

sky         what is asked
recipe      all that decides the values of the output, from what was asked
processor   deconvolves a block: the task of the mosaic
blur        the operator of a block: one PSF, one for each channel, one that varies over the sky
inputs      maps of noise, of good pixels, of the background
planes      what was measured in a block; level and noise of its planes
local       a likelihood of a tile that knows the noise of the whole image
sample      level and noise of a sky, from a sample of it
width       how wide the halo must be
lazy        the same on a dask array
"""
