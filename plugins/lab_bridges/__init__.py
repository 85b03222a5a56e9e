"""Callbacks that connect other trainers with a training function: Lightning and Hugging Face."""
