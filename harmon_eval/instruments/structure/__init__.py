"""Structure distance: is what an image shows still laid out in the same way, whatever it is?"""
