"""The classical methods to compare with, as functions of tensors.

- MRI, ``(kspace, mask, maps)``: `zero_filled`, `cg_sense`, `l1_wavelet`, `total_variation`.
- Deconvolution, ``(image, psf)``: `richardson_lucy`, `wiener`.
- Any linear operator: `cg`. Any method with one parameter, where the truth is known: `tuning`.

Each function has the name of its module: ``from rimaging.solvers.cg_sense import cg_sense``. The
package re-exports nothing, because a name cannot be a module and a function at once.
"""
