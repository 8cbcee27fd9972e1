"""Networks that put images and texts into one space, for CLIP-I, CLIP-T and their directions."""
