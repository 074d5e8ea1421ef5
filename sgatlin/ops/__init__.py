# SPDX-License-Identifier: Apache-2.0
"""Array operations: a public api, a brute-force reference, fast paths tested equal to it."""
