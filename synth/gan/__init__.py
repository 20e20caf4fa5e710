"""Image-to-image translation by GANs: checkpoints of the well-known layouts, and small built-in generators."""
