"""A checkpoint's own configuration, for transformers 4.44: everything as the file says."""

from transformers import PretrainedConfig


class TinyConfig(PretrainedConfig):
    model_type = "internvl_chat"
