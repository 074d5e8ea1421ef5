# SPDX-License-Identifier: Apache-2.0
"""Layers: configs, pure functions, and thin NNX modules that declare their parameters."""
