"""The Recurrent Inference Machine: cell, unrolled inference, training and weights."""
