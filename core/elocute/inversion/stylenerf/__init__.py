"""Pivotal tuning inversion of StyleNeRF (Roich et al., PTI, ACM TOG 2022): a photo to a latent, then to a generator."""
