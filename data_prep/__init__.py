"""From an archive of faces to one packed file: make one (synthetic_faces), pack one (prepare_celeba)."""
