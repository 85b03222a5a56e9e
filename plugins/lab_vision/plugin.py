"""What is in here: pictures: data, augmentation, networks, looking inside."""

from __future__ import annotations
