"""What Blender's scene holds of a talking head: camera, head, face mesh, sound, keyframes and compositor nodes."""
