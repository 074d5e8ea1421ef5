# SPDX-License-Identifier: Apache-2.0
"""What a trained model computes: its circuits, which are explicit.

A token's circuit in a layer is its gates: which neurons of each channel were chosen, and their
signed scores. Given them the layer is a linear map, so that everything here is exact.
"""
