"""Parts of scenes/nerf.py: nerfstudio's nerfacto, its rays, its fit, and the labels of what it renders."""
