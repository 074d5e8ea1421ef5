# SPDX-License-Identifier: Apache-2.0
"""Make token stores of text: `sgatlin prepare` as a script.

python data/prepare.py tinystories --input TinyStories-train.txt TinyStories-valid.txt
python data/prepare.py slimpajama --include 'train/chunk1/*' 'validation/*' --workers 16
python data/prepare.py text --input corpus --out data/prepared/corpus --vocab-size 4096
"""

import sys

from sgatlin.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
