/* Vector table and reset: just enough to call main() on a Cortex-M without a vendor's library. */
#include <stdint.h>
#include <string.h>

#include "semihosting.h"
#include "startup.h"

extern uint32_t data_start, data_end, data_in_flash, bss_start, bss_end, stack_limit, stack_top; /* sections.ld */

volatile uint32_t systick_wraps;

int main(void);

static void reset(void) __attribute__((noreturn));

static void reset(void)
{
    uint32_t *stack_pointer;
    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    for (volatile uint32_t *word = &stack_limit; word < stack_pointer; word++) /* volatile: a memset() has a frame */
        *word = STACK_PAINT;
    memcpy(&data_start, &data_in_flash, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    semihosting_exit((uint32_t)main());
    for (;;) {
    }
}

static void fault(void)
{
    semihosting_print("The processor stopped with a fault.\n");
    semihosting_exit(FAULT_STATUS);
    for (;;) {
    }
}

static void count_wrap(void)
{
    systick_wraps++;
}

uint32_t stack_used(void)
{
    const uint32_t *word = &stack_limit;
    while (word < &stack_top && *word == STACK_PAINT)
        word++;
    return (uint32_t)((const char *)&stack_top - (const char *)word);
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler exceptions[15];
} vectors = {
    &stack_top,
    {reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, count_wrap},
};
