"""A stand-in for Colab's own module, for tests on other machines."""

from google.colab import drive

__all__ = ["drive"]
