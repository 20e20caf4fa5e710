"""Diffusion: pipelines of diffusers by folder or hub name, masked and whole-frame edits of driving scenes."""
