"""Latent Faces: what an autoencoder does with human faces, one small module per subject."""
