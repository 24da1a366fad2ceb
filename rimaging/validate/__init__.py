"""Can it be trusted on this image? Eleven gates, by injection into the image itself.

gate: what a gate found. sources: stars and galaxies, drawn. field: where they go. photometry:
measured. stars, shear, residual, empty: the gates, each from images to numbers. run: all of it.
page: the report.
"""
