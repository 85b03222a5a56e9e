"""`lab_vision`: pictures: data, augmentation, networks, looking inside."""
