"""C99 for microcontrollers: the emitted network, its example programs, and their emulation in QEMU."""
