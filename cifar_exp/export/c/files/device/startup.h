/* What startup.c offers beside calling main(). */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

#define STACK_PAINT 0xA5A5A5A5u
#define FAULT_STATUS 70u /* exit status after a fault of the processor */

/* How often the SysTick counter has reached zero; it counts only where the program starts it. */
extern volatile uint32_t systick_wraps;

/* Return the greatest number of bytes that the stack has held since the reset (it was painted then). */
uint32_t stack_used(void);

#endif
