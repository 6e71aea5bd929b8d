"""What Blender's scene holds of a talking head: camera, head, face mesh, audio, keyframes and compositor nodes."""
