/* Classify the image in image.h and print its class. */
#include <stdint.h>
#include <string.h>

#include "image.h"
#include "network.h"
#include "semihosting.h"

static uint64_t arena[(NETWORK_ARENA_BYTES + 7) / 8];

int main(void)
{
    int32_t logits[NETWORK_CLASSES];
    memcpy(network_input(arena), example_image, NETWORK_INPUT_BYTES);
    network_run(arena, logits);
    semihosting_print(network_class_names[network_class(logits)]);
    semihosting_print("\n");
    return 0;
}
