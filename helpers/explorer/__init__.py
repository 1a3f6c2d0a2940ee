"""The live explorer of a latent space."""

from helpers.explorer.space import Settings
from helpers.explorer.widgets import explore
