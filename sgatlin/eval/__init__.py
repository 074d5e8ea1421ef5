# SPDX-License-Identifier: Apache-2.0
"""What a trained model is worth and what it writes: losses, baselines, samples."""
