"""The causes of a synthetic face: named, independent, standardised numbers, and what follows from them."""

from types import SimpleNamespace

import numpy as np

FACTORS = (
    *("yaw", "pitch", "roll"),
    *("head_width", "head_length", "jaw_width", "cheeks"),
    *("skin_tone", "skin_warmth", "blush", "age"),
    *("light_side", "light_height", "light_contrast"),
    *("hair_lightness", "hair_redness", "hair_length", "hair_volume"),
    *("hair_fringe", "hair_parting", "hair_waves"),
    *("brow_thickness", "brow_angle", "brow_height"),
    *("eye_size", "eye_opening", "eye_distance", "iris_colour", "gaze_x", "gaze_y"),
    *("nose_length", "nose_width"),
    *("mouth_width", "lip_fullness", "lip_colour", "smile", "mouth_opening"),
    *("beard", "moustache", "glasses", "hat", "jewellery"),
    *("neck_width", "collar", "clothes_hue", "clothes_lightness"),
    *("background_hue", "background_lightness", "background_gradient"),
    "focus",
)
NORMAL_LIMIT = 3.0  # standard deviations; clipping there leaves a variance of 0.995
UNIFORM_LIMIT = 3.0**0.5  # a uniform variable on ±√3 has variance 1
MODE = 0.95  # centre of the two modes; their own variance 1 − 0.95² completes the variance to 1


def draw_normal(rng, shape):
    """Standard normal factors, clipped at ±3."""
    return rng.standard_normal(shape).clip(-NORMAL_LIMIT, NORMAL_LIMIT)


def draw_uniform(rng, shape):
    """Factors spread evenly over ±√3."""
    return rng.uniform(-UNIFORM_LIMIT, UNIFORM_LIMIT, shape)


def draw_bimodal(rng, shape):
    """Factors from two equal narrow normals at ±0.95, clipped at ±3."""
    (sign_rng,) = rng.spawn(1)
    signs = 2 * sign_rng.integers(0, 2, shape) - 1
    narrow = rng.standard_normal(shape) * (1 - MODE**2) ** 0.5
    return (signs * MODE + narrow).clip(-NORMAL_LIMIT, NORMAL_LIMIT)


DISTRIBUTIONS = {"normal": draw_normal, "uniform": draw_uniform, "bimodal": draw_bimodal}


def draw_factors(count, seed, distribution="normal"):
    """Factors of `count` faces: float32 (count, len(FACTORS)), mean 0, variance 1, all independent.

    Row i depends on seed, distribution and i alone, so that a longer draw begins with the shorter one.
    """
    rng = np.random.default_rng(seed)
    return DISTRIBUTIONS[distribution](rng, (count, len(FACTORS))).astype(np.float32)


def name_factors(columns):
    """Namespace with one entry for each factor: its column, or its value for one face."""
    return SimpleNamespace(**dict(zip(FACTORS, columns, strict=True)))


def maleness(f):
    """Score that is positive for faces which a viewer would sooner call male; about half of all."""
    return (
        0.7 * f.jaw_width + 0.9 * f.beard + 0.5 * f.brow_thickness - 1.1 * f.hair_length - 0.6 * f.lip_colour
    )


# CelebA's attributes in the order of its list: a face has the attribute where the rule holds. The limits
# of what is drawn only above a threshold (beard, glasses, hat, …) fit those in the drawing.
ATTRIBUTES = {
    "5_o_Clock_Shadow": lambda f: (f.beard > 0.5) & (f.beard <= 1.1),
    "Arched_Eyebrows": lambda f: f.brow_angle > 0.6,
    "Attractive": lambda f: f.smile - f.age + 0.5 * f.eye_size > 0.0,
    "Bags_Under_Eyes": lambda f: f.age > 0.8,
    "Bald": lambda f: (f.hair_fringe < -1.3) & (f.hair_volume < -0.5),
    "Bangs": lambda f: f.hair_fringe > 1.0,
    "Big_Lips": lambda f: f.lip_fullness > 0.7,
    "Big_Nose": lambda f: f.nose_width + f.nose_length > 1.0,
    "Black_Hair": lambda f: (f.hair_lightness <= -0.7) & (f.age <= 1.5),
    "Blond_Hair": lambda f: (f.hair_lightness > 0.9) & (f.age <= 1.5),
    "Blurry": lambda f: f.focus < -1.5,
    "Brown_Hair": lambda f: (f.hair_lightness > -0.7) & (f.hair_lightness <= 0.9) & (f.age <= 1.5),
    "Bushy_Eyebrows": lambda f: f.brow_thickness > 1.0,
    "Chubby": lambda f: f.cheeks + 0.7 * f.head_width > 1.6,
    "Double_Chin": lambda f: f.cheeks + 0.7 * f.neck_width > 1.8,
    "Eyeglasses": lambda f: f.glasses > 0.9,
    "Goatee": lambda f: (f.beard > 0.6) & (f.moustache > 0.6),
    "Gray_Hair": lambda f: f.age > 1.5,
    "Heavy_Makeup": lambda f: f.lip_colour + 0.7 * f.blush > 1.0,
    "High_Cheekbones": lambda f: f.smile + 0.5 * f.cheeks > 0.1,
    "Male": lambda f: maleness(f) > 0.2,
    "Mouth_Slightly_Open": lambda f: f.mouth_opening > 0.0,
    "Mustache": lambda f: f.moustache > 1.1,
    "Narrow_Eyes": lambda f: f.eye_opening < -1.0,
    "No_Beard": lambda f: (f.beard <= 0.8) & (f.moustache <= 1.1),
    "Oval_Face": lambda f: f.head_length - f.jaw_width > 0.7,
    "Pale_Skin": lambda f: f.skin_tone > 1.5,
    "Pointy_Nose": lambda f: f.nose_length - f.nose_width > 0.8,
    "Receding_Hairline": lambda f: f.hair_fringe < -1.2,
    "Rosy_Cheeks": lambda f: f.blush > 1.2,
    "Sideburns": lambda f: (f.beard > 0.4) & (f.hair_length < 0.3),
    "Smiling": lambda f: f.smile > 0.0,
    "Straight_Hair": lambda f: f.hair_waves < -0.5,
    "Wavy_Hair": lambda f: f.hair_waves > 0.5,
    "Wearing_Earrings": lambda f: f.jewellery > 0.9,
    "Wearing_Hat": lambda f: f.hat > 0.9,
    "Wearing_Lipstick": lambda f: f.lip_colour > 0.6,
    "Wearing_Necklace": lambda f: (f.jewellery > 1.3) & (f.collar < 0.5),
    "Wearing_Necktie": lambda f: f.collar > 1.3,
    "Young": lambda f: f.age < 0.6,
}


def derive_attributes(factors):
    """CelebA's 40 attributes, bool (n, 40), from factors (n, len(FACTORS))."""
    f = name_factors(factors.T)
    return np.stack([rule(f) for rule in ATTRIBUTES.values()], axis=-1)
