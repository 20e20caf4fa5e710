"""3D Gaussian splats on a plain CPU: projection, harmonics, tiles and compositing, compiled and differentiable.

`scenes.rasterize.rasterization` is the way in; `reference` is the readable twin of everything compiled here.
"""
