"""Encoder, decoder and autoencoder of the posts, in Keras 3 for the backends tensorflow and jax.

Loss convention of the whole project, stated here once: nats per image. Reconstruction is the sum
over pixels of the channel mean of the binary cross-entropy; it is averaged over the batch. The posts'
"0.49 per pixel" is this value divided by 96 x 96 (XIII-018 to XIII-020).
"""

import keras
from keras import layers, ops

IMAGE_SIZE = 96  # pixels, width and height (CII-019)
COLOUR_CHANNELS = 3
KERNEL_SIZE = 3  # pixels
LEAKY_RELU_SLOPE = 0.3  # slope for negative inputs: the default of the LeakyReLU layer that the posts use


def build_encoder(
    z_dim=256,
    variational=False,
    extra_dense=None,
    batch_norm=False,
    filters=(32, 64, 128, 256),
    strides=2,
    activation="leaky_relu",
):
    """Encoder: images (batch, 96, 96, 3) in [0, 1] to z (batch, z_dim), or to (mu, logvar) if variational.

    One Conv2D per entry of `filters`; `extra_dense` puts a Dense layer of that width between Flatten
    and the heads, `batch_norm` a BatchNormalization before each convolution's activation. z, mu and
    logvar are float32 under every precision policy. Source: CII-016, XIII-010, XIII-011.
    """
    images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS), name="images")
    x = images
    for number, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, KERNEL_SIZE, strides, padding="same", name=f"conv_{number}")(x)
        x = _normalise_and_activate(x, batch_norm, activation, f"conv_{number}")
    x = layers.Flatten(name="flatten")(x)
    if extra_dense:
        x = layers.Dense(extra_dense, name="extra_dense")(x)
        x = _activation_layer(activation, name="extra_dense_activation")(x)
    heads = ("mu", "logvar") if variational else ("z",)
    outputs = [layers.Dense(z_dim, dtype="float32", name=name)(x) for name in heads]
    return keras.Model(images, outputs if variational else outputs[0], name="encoder")


def build_decoder(
    z_dim=256, batch_norm=False, filters=(32, 64, 128, 256), strides=2, activation="leaky_relu"
):
    """Decoder: z (batch, z_dim) to images (batch, 96, 96, 3), float32 in (0, 1): the encoder in reverse.

    Give it the encoder's options; `filters` and `strides` are taken in reverse order here. The last
    Conv2DTranspose and the sigmoid run in float32 under every precision policy: bfloat16 has fewer
    steps than an image has grey levels, and it is slower in a layer of three filters. Source: CII-017.
    """
    side = IMAGE_SIZE // strides ** len(filters)
    z = keras.Input((z_dim,), name="z")
    x = layers.Dense(side * side * filters[-1], name="dense")(z)
    x = layers.Reshape((side, side, filters[-1]), name="reshape")(x)
    for number, width in enumerate(reversed(filters[:-1]), start=1):
        x = layers.Conv2DTranspose(width, KERNEL_SIZE, strides, padding="same", name=f"conv_t_{number}")(x)
        x = _normalise_and_activate(x, batch_norm, activation, f"conv_t_{number}")
    last = layers.Conv2DTranspose(
        COLOUR_CHANNELS, KERNEL_SIZE, strides, padding="same", dtype="float32", name=f"conv_t_{len(filters)}"
    )
    images = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(last(x))
    return keras.Model(z, images, name="decoder")


def _normalise_and_activate(x, batch_norm, activation, name):
    if batch_norm:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return _activation_layer(activation, name=f"{name}_activation")(x)


def _activation_layer(activation, name):
    if activation == "leaky_relu":
        return layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE, name=name)
    return layers.Activation(activation, name=name)


def reconstruction_loss(images, reconstructions):
    """Nats per image (batch,): sum over pixels of the channel mean of the binary cross-entropy (XIII-020)."""
    return ops.sum(ops.mean(ops.binary_crossentropy(images, reconstructions), axis=-1), axis=(1, 2))


@keras.saving.register_keras_serializable("latent_faces")
class Autoencoder(keras.Model):
    """Autoencoder with `.encoder` and `.decoder`; trains on batches of images alone.

    `options` are those of `build_encoder` that the decoder shares: batch_norm, filters, strides,
    activation. `fit` logs the loss as `loss`, in nats per image. Source: CII-001, XIII-010.
    """

    def __init__(self, z_dim=256, **options):
        super().__init__(name="autoencoder")
        self.options = {"z_dim": z_dim, **options}
        self.encoder = build_encoder(z_dim, **options)
        self.decoder = build_decoder(z_dim, **options)
        self.build((None, IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS))

    def build(self, input_shape):
        """Encoder and decoder are built already; Keras only has to know it."""
        self.built = True

    def call(self, images, training=False):
        """Reconstructions (batch, 96, 96, 3), float32 in (0, 1)."""
        return self.decoder(self.encoder(images, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean reconstruction loss of the batch, nats per image."""
        return ops.mean(reconstruction_loss(x, y_pred))

    def get_config(self):
        """Options from which `Autoencoder(**config)` rebuilds the same network."""
        return dict(self.options)


def float32_copy(model):
    """The same functional model computing wholly in float32, with a copy of its weights.

    Under a mixed policy z-points would be rounded by more than the effects that the posts measure.
    """
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"}),
    )
    copy.set_weights(model.get_weights())
    return copy
