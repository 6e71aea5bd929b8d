"""Signed provenance: what a deliverable says of itself in a C2PA manifest, who signed it, and whether it is still so."""
