"""The networks of the series, in Keras 3 for the backends tensorflow and jax.

Loss convention of the whole project, stated here once: nats per image. Reconstruction is the sum over pixels
of the channel mean of the binary cross-entropy, the KL loss `fact` times the divergence summed over z's
dimensions; both are batch means. The posts' "0.49 per pixel": reconstruction / 96² (XIII-018 to XIII-020).
"""

import inspect
from typing import ClassVar

import keras
from keras import layers, ops

IMAGE_SIZE = 96  # pixels, width and height (CII-019)
COLOUR_CHANNELS = 3
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, COLOUR_CHANNELS)
KERNEL_SIZE = 3  # pixels
LEAKY_RELU_SLOPE = 0.3  # slope for negative inputs: the default of the LeakyReLU layer that the posts use
# Of batch normalisation's running averages. Keras' own 0.99 looks back about 100 steps, an epoch of 12,800
# images: the averages then lag behind the weights, and what trains well fails on held-out images (the
# attribute classifier after 300 steps: held-out loss 0.64 instead of 0.32, where chance is 0.48).
BATCH_NORM_MOMENTUM = 0.9
EPSILON_CLIP = 5.0  # largest |epsilon| of the sampling layer, in standard deviations (XIII-067)
DRAWS_PER_EPOCH = 1_000_000  # more than any epoch has batches: no two epochs share a state of the generator
FEATURES = 128  # width of the attribute classifier's last hidden layer


def build_encoder(
    z_dim=256,
    variational=False,
    extra_dense=None,
    batch_norm=False,
    filters=(32, 64, 128, 256),
    strides=2,
    activation="leaky_relu",
    initializer="glorot_uniform",
    logvar_bias=0.0,
):
    """Encoder: images (batch, 96, 96, 3) in [0, 1] to z (batch, z_dim), or to (mu, logvar) if variational.

    One Conv2D per entry of `filters`; `extra_dense` puts a Dense layer of that width between Flatten
    and the heads, `batch_norm` a BatchNormalization before ("after": behind) each convolution's
    activation. `initializer` draws the convolutions' weights, `logvar_bias` is where logvar starts. z, mu
    and logvar are float32 under every precision policy. Source: CII-016, XII-016, XIII-009 to XIII-011.
    """
    x = images = keras.Input(IMAGE_SHAPE, name="images")
    for number, width in enumerate(filters, start=1):
        name = f"conv_{number}"
        options = {"padding": "same", "kernel_initializer": initializer, "name": name}
        x = layers.Conv2D(width, KERNEL_SIZE, strides, **options)(x)
        x = _normalise_and_activate(x, batch_norm, activation, name)
    x = layers.Flatten(name="flatten")(x)
    if extra_dense:
        x = layers.Dense(extra_dense, name="extra_dense")(x)
        x = _normalise_and_activate(x, False, activation, "extra_dense")
    if not variational:
        return keras.Model(images, layers.Dense(z_dim, dtype="float32", name="z")(x), name="encoder")
    mu = layers.Dense(z_dim, dtype="float32", name="mu")(x)
    start = keras.initializers.Constant(logvar_bias)
    logvar = layers.Dense(z_dim, dtype="float32", bias_initializer=start, name="logvar")(x)
    return keras.Model(images, [mu, logvar], name="encoder")


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
    activate = layers.Activation(activation, name=f"{name}_activation")
    if activation == "leaky_relu":
        activate = layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE, name=activate.name)
    if not batch_norm:
        return activate(x)
    normalise = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")
    return normalise(activate(x)) if batch_norm == "after" else activate(normalise(x))


def reconstruction_loss(images, reconstructions):
    """Nats per image (batch,): sum over pixels of the channel mean of the binary cross-entropy (XIII-020)."""
    return ops.sum(ops.mean(ops.binary_crossentropy(images, reconstructions), axis=-1), axis=(1, 2))


def kl_divergence(mu, logvar):
    """Nats per image (batch,) between N(mu, exp(logvar)) and N(0, 1), summed over the latent dimensions.

    ½ Σ (mu² + exp(logvar) − logvar − 1). Source: XIII-048; Kingma and Welling 2014, appendix B.
    """
    return ops.sum(ops.square(mu) + ops.exp(logvar) - logvar - 1, axis=-1) / 2


def draw_z(mu, logvar, seed, clip=EPSILON_CLIP, factor=1.0):
    """One draw of z (batch, z_dim): mu + exp(logvar / 2) · epsilon · factor, epsilon from N(0, 1).

    Values of epsilon beyond ±`clip` become ±`clip` (None: as drawn). Source: XIII-062, 067, 068.
    """
    epsilon = keras.random.normal(ops.shape(mu), dtype="float32", seed=seed)
    if clip:
        epsilon = ops.clip(epsilon, -clip, clip)
    return mu + ops.exp(logvar / 2) * epsilon * factor


def _defaults(function):
    """All options of a function, each with its default."""
    return {name: option.default for name, option in inspect.signature(function).parameters.items()}


class Network(keras.Model):
    """What the trainable models share: they are built from their options, without seeing data."""

    DEFAULTS: ClassVar = {}  # all options of a model: one that is left out equals one that is spelled out
    LOGGED = ()  # names of what a model logs in nats per image, "total_loss" before its parts

    def __init__(self, **options):
        super().__init__(name=type(self).__name__.lower())
        self.options = {**self.DEFAULTS, **options}
        self.make_parts(**self.options)
        self.built = True  # the parts are

    def compile(self, *arguments, **options):
        """As Keras does; the optimizer is built as well, or TensorFlow would trace the first step twice."""
        super().compile(*arguments, **options)
        self.optimizer.build(self.trainable_variables)

    def set_epoch(self, epoch):
        """Put random draws where they stand at the beginning of this epoch (from 0); here there are none."""

    def get_config(self):
        """All options, from which the same network can be made again."""
        return dict(self.options)


class Autoencoder(Network):
    """Autoencoder with `.encoder` and `.decoder`; trains on batches of images alone.

    Options are those that encoder and decoder share: z_dim, batch_norm, filters, strides, activation.
    `fit` logs the loss as `loss`, in nats per image. Source: CII-001, XIII-010.
    """

    DEFAULTS = _defaults(build_decoder)

    def make_parts(self, **options):
        """Make encoder and decoder."""
        self.encoder, self.decoder = build_encoder(**options), build_decoder(**options)

    def call(self, images, training=False):
        """Reconstructions (batch, 96, 96, 3), float32 in (0, 1)."""
        return self.decoder(self.encoder(images, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean reconstruction loss of the batch, nats per image."""
        return ops.mean(reconstruction_loss(x, y_pred))


class VariationalAutoencoder(Network):
    """Variational autoencoder: `.encoder` gives mu and logvar, `.decoder` takes z.

    `fact` is the weight of the KL loss, `epsilon_clip` the largest |epsilon| (None: any), `noise_seed` the
    seed of epsilon (None: drawn). The other options are those of `build_encoder`, with batch_norm=True; the
    decoder shares filters, strides and activation, and has no batch normalisation, as in post XII. Assigning
    0 to `vae.epsilon_factor` switches the noise off: z is mu. Logs losses in nats per image; batch means of
    logvar, of its largest component, of mu's radius. Source: XII-018 to XII-020, XIII-046, 062, 067, 068.
    """

    DEFAULTS = _defaults(build_encoder) | {"variational": True, "batch_norm": True}
    DEFAULTS |= {"fact": 1e-5, "epsilon_clip": EPSILON_CLIP, "noise_seed": None}
    LOGGED = ("total_loss", "reco_loss", "kl_loss", "logvar_mean", "logvar_max", "radius_mean")

    def make_parts(self, z_dim, fact, epsilon_clip, noise_seed, **options):
        """Make encoder, decoder, the source of epsilon and what is logged."""
        self.encoder = build_encoder(z_dim, **options)
        shared = {name: options[name] for name in ("filters", "strides", "activation")}
        self.decoder = build_decoder(z_dim, **shared)
        self.fact, self.epsilon_clip = fact, epsilon_clip
        self.seed_generator = keras.random.SeedGenerator(noise_seed)
        self.noise_seed = int(self.seed_generator.state[0])
        self.epsilon_factor = keras.Variable(1.0, trainable=False, dtype="float32", name="epsilon_factor")
        self.trackers = [keras.metrics.Mean(name=name) for name in self.LOGGED]

    def set_epoch(self, epoch):
        """Take this epoch's epsilon: Keras does not save the generator's state with the weights."""
        self.seed_generator.state.assign([self.noise_seed, epoch * DRAWS_PER_EPOCH])

    def call(self, images, training=False):
        """Reconstructions (batch, 96, 96, 3), float32 in (0, 1), of a z drawn for each image; mu; logvar."""
        mu, logvar = self.encoder(images, training=training)
        z = draw_z(mu, logvar, self.seed_generator, self.epsilon_clip, self.epsilon_factor)
        return self.decoder(z, training=training), mu, logvar

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean reconstruction plus KL loss of the batch, nats per image."""
        rebuilt, mu, logvar = y_pred
        reco_loss = ops.mean(reconstruction_loss(x, rebuilt))
        kl_loss = self.fact * ops.mean(kl_divergence(mu, logvar))
        radius = ops.mean(ops.norm(mu, axis=-1))
        values = (reco_loss + kl_loss, reco_loss, kl_loss, ops.mean(logvar), ops.max(logvar), radius)
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value, sample_weight=ops.shape(x)[0])
        return reco_loss + kl_loss


class AttributeClassifier(Network):
    """Convolutional network that tells CelebA's attributes of an image.

    Distances between its `.features` (128), the last hidden layer, judge images better than those of pixels.
    With ReLU as their `activation`, as in former versions, more than half of them never fire.
    """

    DEFAULTS: ClassVar = {"attributes": 40, "activation": "relu"}

    def make_parts(self, attributes, activation):
        """Make the network up to the features, and the head that reads the attributes off them."""
        x = images = keras.Input(IMAGE_SHAPE, name="images")
        for number, width in enumerate((32, 64, 128, 256), start=1):
            x = layers.Conv2D(width, KERNEL_SIZE, 2, padding="same", name=f"conv_{number}")(x)
            x = _normalise_and_activate(x, True, "relu", f"conv_{number}")
        x = layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="pool")(x))
        features = layers.Dense(FEATURES, activation=activation, dtype="float32", name="features")(x)
        self.features = keras.Model(images, features, name="features")
        self.head = layers.Dense(attributes, dtype="float32", name="head")
        self.head.build((None, FEATURES))

    def call(self, images, training=False):
        """Logits (batch, attributes) of each attribute's probability."""
        return self.head(self.features(images, training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean binary cross-entropy over the attributes, nats per attribute."""
        return ops.mean(ops.binary_crossentropy(ops.cast(y, "float32"), y_pred, from_logits=True))
