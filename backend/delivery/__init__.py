"""Rendered heads as an editor takes them: a video over the footage, or RGBA frames for a compositor."""
