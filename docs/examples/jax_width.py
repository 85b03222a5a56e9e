"""Does a wider layer help to fit a wave? JAX, with gradients by jax.grad."""

import lab
from lab import Study, use


def train(*, width: int = 8, lr: float = 0.02, steps: int = 200, run: lab.TaskRun) -> dict[str, float]:
    """Fit a sine by gradient descent and return the loss on held-out points."""
    import jax
    import jax.numpy as jnp

    first, second, third = jax.random.split(jax.random.key(run.seed), 3)
    weights = {
        "in": jax.random.normal(first, (1, width)),
        "bias": jax.random.uniform(second, (width,), minval=-2, maxval=2),
        "out": jax.random.normal(third, (width, 1)) / width**0.5,
    }

    def loss(weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        output = jnp.tanh(x @ weights["in"] + weights["bias"]) @ weights["out"]
        return jnp.mean((output - jnp.sin(3 * x)) ** 2)

    @jax.jit
    def step(weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
        slopes = jax.grad(loss)(weights, jnp.linspace(-2, 2, 64)[:, None])
        return jax.tree.map(lambda weight, slope: weight - lr * slope, weights, slopes)

    held_out = jnp.linspace(-1.9, 1.9, 33)[:, None]
    for number in range(steps):
        weights = step(weights)
        if number % 50 == 49:
            run.log(epoch=number // 50, valid_loss=float(loss(weights, held_out)))
    return {"valid_loss": float(loss(weights, held_out))}


study = Study(use(train), seeds=3, compare="valid_loss").swap("width", {"wide": 64})
