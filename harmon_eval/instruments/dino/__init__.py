"""Networks that see what an image shows without any text, for DINO-I."""
