"""Portrait-Sync: head mattes, the footage without its head, and compositing a rendered head over it.

The paper (section 3.4) blends the rendered head into the original frame. Here the seam is made before training: `stage`
writes a soft head matte and a plate (the frame without its head) for every frame, the field is trained in front of that
plate, and `blend` is then a plain "over".
"""
