"""Every tolerance of the tests, each with its reason."""

EPS = 6e-8  # float32's rounding

# A loss summed over thousands of rows in float32, in another order: a few dozen EPS at most.
# Keras' two compile modes differ from each other by 1e-7 in an epoch's loss.
EPOCH_LOSS_RTOL = 2e-6

# One product of up to 1,000 float32 factors against float64: sqrt(1000) EPS, times 3 for the tails.
# Relative to the largest element, since sums cancel.
PRODUCT_RTOL = 6e-6

# The same with inputs rounded as the policy rounds them: only the accumulation differs, but an
# upstream gradient at a rounding boundary may fall to the other side of it (bfloat16: 2^-8).
MIXED_GRADIENT_RTOL = {"mixed_bfloat16": 8e-3, "mixed_float16": 1e-3}

# One update from equal weights: Adam divides by (root + 1e-7), which turns a gradient's error of
# 1e-9 into 3e-7 of a weight at a learning rate of 0.001.
STEP_WEIGHT_ATOL = 1e-6

# Fifty updates of the same, whose errors add up.
STEPS_WEIGHT_ATOL = 2e-5

# A reconstruction by the same float32 formula in another program: sums of 784 products of order 1,
# then a sigmoid with a slope of 1/4.
RECONSTRUCTION_ATOL = 1e-6

# Eigenvectors of a 60-column table in float32 products, against scikit-learn.
PCA_RTOL = 1e-4

# A weight after a few epochs of the same updates: what is asked of a drop-in. Keras' two compile
# modes differ by 6e-7 over 10 epochs of digits.
EPOCHS_WEIGHT_ATOL = 1e-5

# Its slots, relative to their largest: gradients are off as their weights are, which are of order
# 0.1.
EPOCHS_SLOT_RTOL = 1e-4

# A loss under a mixed policy, of which two correct programs round apart: what is asked of them.
MIXED_LOSS_RTOL = 3e-3

# A loss after three epochs of 3,000 digits in other orders from the same weights: Keras alone, in
# five orders, spreads by 0.7 %. Twice that.
OTHER_ORDER_RTOL = 0.015
