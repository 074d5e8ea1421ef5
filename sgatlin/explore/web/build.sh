#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes ../static from these sources: the same sources give the same bytes.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
npm run check
npm run build
