"""Every operation of the real code on its disk, recorded, and the disk as a power cut after any of them leaves it.

`recorder` runs a program under strace and reads its system calls; `card` rebuilds what a card may hold after a cut;
`device` and `receiver` are the programs that are recorded and what is held after each cut.
"""
