"""From a photo to a `Portrait`: load it, find the face, cut the person out, name the regions, frame the picture."""
