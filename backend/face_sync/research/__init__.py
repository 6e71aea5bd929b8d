"""Research on the encoder, not needed to run it: pretraining, probes, encoders of others."""
