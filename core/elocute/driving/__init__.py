"""Another person's head and face, followed through a video or a folder of frames."""
