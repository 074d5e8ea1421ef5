# SPDX-License-Identifier: Apache-2.0
"""Training: the loop and what it stands on."""
