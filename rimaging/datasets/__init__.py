"""Files in and out: measurements in, reconstructions out."""
