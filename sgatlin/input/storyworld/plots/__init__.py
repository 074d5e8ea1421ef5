# SPDX-License-Identifier: Apache-2.0
"""The plots, by theme. Of a file's plots, the first are the most common."""
