"""What a way to train costs, by measurement: `python -m benchmarks.ways` has it."""

import math

# Seconds that XLA takes more than a graph does before the first step, for each size of batch.
COMPILE_S = 0.22
COMPILE_S_PER_VARIABLE = 0.05
# Seconds that it then takes less for a step: what a graph's operations take to start, and what each
# of the optimizer's passes over the weights takes, which XLA makes one.
SAVED_S_PER_VARIABLE = 26e-6
SAVED_S_PER_PARAMETER = 2.4e-9


def is_worth_compiling(variables, epochs, row_count, batch_size):
    """Whether XLA saves more of Keras' steps than it takes to compile them, on a CPU.

    Args:
        variables: The model's trainable ones.
        epochs: How many are to be trained.
        row_count: N.
        batch_size: B.
    """
    steps = epochs * -(-row_count // batch_size)
    return steps > steps_until_worth_it(variables, row_count, batch_size)


def steps_until_worth_it(variables, row_count, batch_size):
    """After how many steps XLA has saved what it took to compile a step.

    Args:
        variables, row_count, batch_size: As there.
    """
    sizes = 2 if row_count > batch_size and row_count % batch_size else 1
    parameters = sum(math.prod(variable.shape) for variable in variables)
    compile_s = sizes * (COMPILE_S + COMPILE_S_PER_VARIABLE * len(variables))
    saved_s = SAVED_S_PER_VARIABLE * len(variables) + SAVED_S_PER_PARAMETER * parameters
    return compile_s / saved_s if saved_s else math.inf
