"""A trained network as C99 for microcontrollers: calibrated, quantized to 8 bits, simulated, written and verified."""
