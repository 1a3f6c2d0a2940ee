"""Latent Faces: what an autoencoder does with human faces.

A room for each subject, from the roof downwards:

study       what a notebook opens: networks, z-points and records of one run
explorer    the live explorer: space, picture, widgets
colab       brings the project, its packages and data to a Colab machine
models      networks, images in batches, training, encoding, judging, costs
figures     style, curves, clouds, planes
density     densities of planes and their contours
scores      how good images and z-points are
sampling    new z-vectors: samplers, mixtures, paths
ellipses    confidence ellipses of planes
drive       MyDrive: mount, transfer, copying, exchange, results
posts       what the posts state, and the verdicts
latent      z-points: covariance, marginals, fits, surrogates, neighbours, clusters, maps, normality, pieces
monitor     RAM and VRAM: readings, backend, watch
workspace   one run: its profile, data and folder
files       whole files or none, known by their sha256
reporting   lines, progress and tables
"""
