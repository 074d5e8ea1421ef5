# SPDX-License-Identifier: Apache-2.0
"""Train a byte-level BPE on files of text: `sgatlin tokenizer train` as a script.

python data/train_tokenizer.py --input corpus --vocab-size 4096 --out tokenizer.json
"""

import sys

from sgatlin.cli import main

if __name__ == "__main__":
    main(["tokenizer", "train", *sys.argv[1:]])
