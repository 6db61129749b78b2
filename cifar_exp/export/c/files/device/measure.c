/* Run the network on every image of images.bin; write all logits to logits.bin, ticks and stack to measures.bin. */
#include <stdint.h>
#include <string.h>

#include "network.h"
#include "semihosting.h"
#include "startup.h"

#define SYSTICK ((volatile uint32_t *)0xE000E010) /* control, reload, value */
#define SYSTICK_PERIOD 0x1000000u

static uint64_t arena[(NETWORK_ARENA_BYTES + 7) / 8];

static uint64_t ticks(void)
{
    const uint32_t wraps = systick_wraps;
    const uint32_t value = SYSTICK[2]; /* counts down; zero is the begin of a period */
    if (systick_wraps != wraps) /* wrapped between the two readings */
        return ticks();
    return (uint64_t)wraps * SYSTICK_PERIOD + (0 - value) % SYSTICK_PERIOD;
}

int main(void)
{
    struct {
        uint64_t ticks;
        uint32_t images, stack_bytes;
    } measures = {0, 0, 0};
    int32_t logits[NETWORK_CLASSES];

    const uint32_t images_file = semihosting_open("images.bin", SEMIHOSTING_READ_BINARY);
    const uint32_t logits_file = semihosting_open("logits.bin", SEMIHOSTING_WRITE_BINARY);
    SYSTICK[1] = SYSTICK_PERIOD - 1;
    SYSTICK[2] = 0;
    SYSTICK[0] = 7; /* processor clock, exception at zero, enabled */
    while (semihosting_read(images_file, network_input(arena), NETWORK_INPUT_BYTES) == NETWORK_INPUT_BYTES) {
        const uint64_t start = ticks();
        network_run(arena, logits);
        measures.ticks += ticks() - start;
        measures.images++;
        semihosting_write(logits_file, logits, sizeof logits);
    }
    SYSTICK[0] = 0;
    semihosting_close(logits_file); /* before another file: what is written is complete */
    measures.stack_bytes = stack_used();
    const uint32_t measures_file = semihosting_open("measures.bin", SEMIHOSTING_WRITE_BINARY);
    semihosting_write(measures_file, &measures, sizeof measures);
    semihosting_close(measures_file);
    return 0;
}
