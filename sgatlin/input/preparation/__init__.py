# SPDX-License-Identifier: Apache-2.0
"""From files of text to token stores: in parallel, within bounded memory, and resumable.

What is to be read is cut into groups of files (`plan.py`). A group is prepared by one process, in
pieces that are durable one by one (`group.py`); groups need nothing of each other, so any engine
can run them (`local.py`, `engines.py`). Then the pieces become stores (`finish.py`). All is made in
a hidden folder beside the result, which takes the result's name at the end: the result is complete
or absent, and it depends on the files and the request alone, never on the number of workers or on
interruptions.
"""
