"""Can it be trusted on this image? Eleven gates, by injection into the image itself.

gate: what a gate found. sources: stars and galaxies, drawn. field: where they go. photometry:
measured. stars, shear, residual, empty, coverage: the gates, each from images to numbers. cutout:
the part of the image that is looked at. experiments: what is done to it. run: all of it. page: the
report.
"""
