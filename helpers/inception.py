"""InceptionV3's features: the judge of the literature, where its weights can be had."""

import keras
from keras import layers

from helpers.models import COLOUR_CHANNELS, IMAGE_SIZE
from helpers.workspace import InputError

INCEPTION_SIZE = 299  # pixels of a side of the images that the network was trained on
WEIGHTS = "imagenet"  # Keras' own, about 90 MB; those of Heusel et al. 2017 come from another training


def load_inception(weights=WEIGHTS):
    """Network in float32 from images (n, 96, 96, 3) in [0, 1] to InceptionV3's features (n, 2048).

    Keras downloads the weights once. Distances between these features are near those of the literature (FID),
    not equal to them: its weights and its scaling differ. Raises InputError where the weights cannot be had.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS), name="images")
        x = layers.Resizing(INCEPTION_SIZE, INCEPTION_SIZE, name="enlarge")(images)
        x = layers.Rescaling(2.0, -1.0, name="to_minus_one_and_one")(x)
        options = {"include_top": False, "pooling": "avg", "input_tensor": x}
        return keras.applications.InceptionV3(weights=weights, **options)
    except Exception as error:  # Keras raises a plain one when it cannot download
        raise InputError(
            "The weights of InceptionV3 can be neither found nor downloaded here, so its features are left "
            "out; with access to storage.googleapis.com they come by themselves."
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
