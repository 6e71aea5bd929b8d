"""The head for other programs: its Gaussians as 3DGS PLY, glTF or USD, and the face mesh with its 52 shape keys."""
