# SPDX-License-Identifier: Apache-2.0
"""The commands of `sgatlin` but for train: their arguments, and the call of what does the work.

Work is imported where it is done, so that help and errors come at once.
"""
