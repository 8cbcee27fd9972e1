"""One number for each image and its text: CLIPScore, and models of what people prefer."""
