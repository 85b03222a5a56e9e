"""Hand-written forward and backward passes of attention and of linear maps that are used at many steps."""
