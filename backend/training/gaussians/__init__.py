"""Training of a head's Gaussian twin: it begins on the field's surface and is fitted to the footage."""
