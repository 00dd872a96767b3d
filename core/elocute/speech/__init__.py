"""Speech to face motion: sound -> visemes -> ARKit curves, and what speech does not say (blinks, gaze, head)."""
