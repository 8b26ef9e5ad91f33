"""What a way to train costs, by measurement: `python -m benchmarks.ways` has it."""

import math

# Seconds that XLA takes more than a graph does before the first step, for each of the steps that
# are compiled: a whole batch's and a short one's, with validation beside them.
COMPILE_S = 0.1
COMPILE_S_PER_VARIABLE = 0.06
VALIDATED = 1.3
# Seconds that it then takes less for a step: what a graph's operations take to start, and what each
# of the optimizer's passes over the weights takes, which XLA makes one.
SAVED_S_PER_VARIABLE = 20e-6
SAVED_S_PER_PARAMETER = 1.7e-9


def is_worth_compiling(variables, epochs, row_count, batch_size):
    """Whether XLA saves more of Keras' steps than it takes to compile them, on a CPU.

    Args:
        variables: The model's trainable ones.
        epochs: How many are to be trained.
        row_count: N.
        batch_size: B.
    """
    batches = -(-row_count // batch_size)
    programs = 2 if row_count > batch_size and row_count % batch_size else 1
    return epochs * batches > steps_until_worth_it(variables, programs)


def steps_until_worth_it(variables, programs):
    """After how many steps XLA has saved what it took to compile so many programs of a step."""
    parameters = sum(math.prod(variable.shape) for variable in variables)
    saved_s = SAVED_S_PER_VARIABLE * len(variables) + SAVED_S_PER_PARAMETER * parameters
    compile_s = COMPILE_S + COMPILE_S_PER_VARIABLE * len(variables)
    return VALIDATED * programs * compile_s / max(saved_s, 1e-9)
