"""`aes` judges the beauty of pictures."""

__version__ = "0.1.0"
