# SPDX-License-Identifier: Apache-2.0
"""Language models whose feed-forward layers are sparsely gated linear neurons."""
