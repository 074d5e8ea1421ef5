# SPDX-License-Identifier: Apache-2.0
"""Studies that compare layers at equal FLOPs, equal time and equal tokens."""
