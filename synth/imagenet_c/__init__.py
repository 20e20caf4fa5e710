"""The corruptions of ImageNet-C at their published constants, one kind a file; for comparison with published figures.

After Hendrycks and Dietterich (2019), "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
in the form of imagecorruptions 1.1.2 (Michaelis et al. 2019), which takes any image size: 15 corruptions of the
benchmark and 4 that were set aside for validation. They work on sRGB codes, not on light, and know no depth: that is
what was published.
"""
