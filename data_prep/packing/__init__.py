"""From archives and folders of photos to one packed file."""
