# SPDX-License-Identifier: Apache-2.0
"""Models as files that other programs read: `write` makes them, `numpy_model` reads them."""
