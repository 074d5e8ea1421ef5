# SPDX-License-Identifier: Apache-2.0
"""A page on which a trained model's circuits are looked at, and the server behind it."""
