"""General components: samplers, steppers, schedules, optimizers, losses, metrics and callbacks."""
