"""The Gaussian head: 3D Gaussians that blendshapes drive, drawn by a rasteriser."""
