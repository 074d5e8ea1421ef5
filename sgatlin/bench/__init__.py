# SPDX-License-Identifier: Apache-2.0
"""What `sgatlin bench` measures: the layer and its primitives, training steps, decoding."""
