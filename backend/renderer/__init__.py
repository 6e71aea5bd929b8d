"""The dynamic portrait renderer (section 3.4 of the paper): a tri-plane hash field, occupancy, rays and compositing."""
