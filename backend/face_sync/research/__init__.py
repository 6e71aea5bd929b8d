"""What research on the encoder needs and running does not: pretraining, probes, encoders of others."""
