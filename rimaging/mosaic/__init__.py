"""Images larger than memory: cut into units, done anywhere, killed at any time, never wrong.

tiles       how an image is cut: units, halo, edges
task        the function done to each block, by name
sources     what there is to read, in plain values, and what identifies it
readers     blocks of FITS, tile-compressed FITS, .npy, Zarr; or made up from coordinates
store       the output on its way: sharded Zarr with checksums
receipts    what is done, written only after it is safe
folder      `out.run`: the plan of a run, its fingerprint, its receipts
lock        one run for one output
plan        what a run will cost, before it runs
work        one unit: read, compute, write, receipt
driver      all units, whatever dies on the way
pools       who does the units: this process, or the workers of a cluster, which may die
cluster     a cluster started here, or one that is there
finalise    Zarr to FITS; the final name only when complete
verify      everything read again
halo, seams how wide the halo must be, and what it costs to be narrower
lazy        the same on a dask array
"""
